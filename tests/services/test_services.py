"""The servers that tests rely on: ready when they say so, the same after a restart, gone when the run is."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pymysql
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tests.daemon_process import wait_until
from tests.services import NotStarted, Service, Services, start_database, start_redis
from tests.services.kept import kept_port
from tests.services.process import LastingProcess
from tests.services.redis import Redis

ROOT = Path(__file__).parents[2]


def query(url: str, *statements: str) -> list[tuple[object, ...]]:
    """Run statements on a database, commit, and return the rows of the last."""
    parts = urlsplit(url)
    with pymysql.connect(
        host="127.0.0.1",
        port=parts.port or 0,
        user=parts.username,
        password=parts.password or "",
        database=parts.path[1:],
    ) as connection:
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            rows = list(cursor.fetchall())
        connection.commit()
        return rows


def ask_redis(port: int, command: str) -> str:
    """Send one inline command."""
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        connection.sendall(command.encode() + b"\r\n")
        return connection.recv(1024).decode()


def process_lives(pid: int) -> bool:
    """Whether there is such a process, other than one that is dead and not collected."""
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_what_the_database_committed_outlives_its_kill(tmp_path: Path) -> None:
    with start_database(tmp_path / "database") as database:
        query(database.url, "CREATE TABLE kept (n INT) ENGINE=InnoDB", "INSERT INTO kept VALUES (7)")
        before = database.url
        database.kill()
        assert not database.is_running
        database.start()
        assert database.url == before
        assert query(database.url, "SELECT n FROM kept") == [(7,)]


def test_a_fresh_database_is_empty_in_utf8mb4_and_its_user_sees_no_other(services: Services) -> None:
    one, other = services.fresh_store_url(), services.fresh_store_url()
    assert one != other
    query(one, "CREATE TABLE t (c VARCHAR(10))", "INSERT INTO t VALUES ('채팅🙂')")
    assert query(one, "SELECT c, CHAR_LENGTH(c) FROM t") == [("채팅🙂", 3)]
    assert query(other, "SHOW TABLES") == []
    with pytest.raises(pymysql.err.OperationalError, match="denied"):
        query(one, "SELECT * FROM mysql.global_priv")


def test_the_database_refuses_what_mysql_8_refuses(services: Services) -> None:
    with pytest.raises(pymysql.err.OperationalError, match="GROUP BY"):
        query(services.fresh_store_url(), "CREATE TABLE t (a INT, b INT)", "SELECT a, b FROM t GROUP BY a")


async def test_kafka_takes_and_gives_records_as_soon_as_it_is_ready_and_makes_no_topic_by_itself(services: Services) -> None:
    url = urlsplit(services.fresh_relay_url())
    topic = f"{url.query.partition('=')[2]}chat"
    admin = AIOKafkaAdminClient(bootstrap_servers=url.netloc)
    await admin.start()
    try:
        assert topic not in await admin.list_topics()
        await admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])
    finally:
        await admin.close()
    producer = AIOKafkaProducer(bootstrap_servers=url.netloc)
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=url.netloc, auto_offset_reset="earliest")
    async with producer, consumer:
        await producer.send_and_wait(topic, b"hello")
        record = await consumer.getone()
        assert record.value == b"hello"


def test_a_paused_redis_answers_nothing_until_it_goes_on(tmp_path: Path) -> None:
    with start_redis(tmp_path / "redis") as redis:
        redis.pause()
        assert redis.is_running
        with socket.create_connection(("127.0.0.1", redis.port), 5) as connection:
            connection.sendall(b"PING\r\n")
            connection.settimeout(0.1)
            with pytest.raises(TimeoutError):
                connection.recv(64)
            redis.resume()
            connection.settimeout(5)
            assert connection.recv(64) == b"+PONG\r\n"


def test_a_server_keeps_its_port_over_a_stop_and_can_be_stopped_while_paused(tmp_path: Path) -> None:
    with start_redis(tmp_path / "redis") as redis:
        port, pid = redis.port, redis.pid
        redis.pause()
        redis.stop()
        assert not process_lives(pid)
        redis.start()
        assert redis.port == port
        assert ask_redis(port, "PING") == "+PONG\r\n"


def test_a_server_that_ended_by_itself_can_be_started_again(tmp_path: Path) -> None:
    with start_redis(tmp_path / "redis") as redis:
        os.kill(redis.pid, signal.SIGTERM)
        wait_until(lambda: not redis.is_running, "Redis has ended")
        assert ask_redis(redis.start().port, "PING") == "+PONG\r\n"


def test_a_server_that_can_not_start_says_why(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        folder = tmp_path / "redis"
        folder.mkdir()
        (folder / "port").write_text(str(taken.getsockname()[1]))
        with pytest.raises(NotStarted, match="Address already in use"):
            Service(Redis(folder)).start()


def test_ports_are_none_that_the_kernel_gives_to_outgoing_connections(tmp_path: Path) -> None:
    first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    ports = {kept_port(tmp_path, f"port-{number}") for number in range(20)}
    assert not any(first <= port <= last for port in ports)


def test_a_port_is_given_to_one_alone_who_may_take_it_later(tmp_path: Path) -> None:
    port = kept_port(tmp_path)
    with socket.socket() as another, pytest.raises(OSError, match="in use"):
        another.bind(("127.0.0.1", port))
    with socket.create_server(("127.0.0.1", port)) as server, socket.create_connection(server.getsockname()):
        pass


@pytest.mark.parametrize("pause", [False, True], ids=["running", "paused"])
def test_servers_end_with_the_run_that_started_them_though_it_was_killed(tmp_path: Path, pause: bool) -> None:
    start = (
        "import sys, pathlib; from tests.services.redis import Redis; from tests.services import Service;"
        "s = Service(Redis(pathlib.Path(sys.argv[1]))).start(); print(s.pid, flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", start, str(tmp_path / "redis")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as run:
        assert run.stdout is not None
        pid = int(run.stdout.readline())
        if pause:
            os.kill(pid, signal.SIGSTOP)
        assert process_lives(pid)
        run.kill()
    wait_until(lambda: not process_lives(pid), "the server has ended with its run")


def test_make_services_starts_once_keeps_the_addresses_and_ends_what_it_started(tmp_path: Path) -> None:
    first = _services("start", tmp_path)
    assert first.stderr.count(" is ready (pid ") == 3
    assert [line.partition("=")[0] for line in first.stdout.split()] == [
        "STOMPGATE_STORE",
        "STOMPGATE_RELAY",
        "STOMPGATE_SESSIONS",
    ]
    pids = [LastingProcess.find(file) for file in sorted(tmp_path.glob("*/pid"))]
    try:
        second = _services("start", tmp_path)
        assert second.stderr.count(" already runs (pid ") == 3
        assert second.stdout == first.stdout
    finally:
        ended = _services("stop", tmp_path)
    assert ended.stderr.count(" has ended") == 3
    assert not any(found is not None and found.is_running for found in pids)
    assert _services("stop", tmp_path).stderr.count(" does not run") == 3


def test_a_pid_that_belongs_to_another_process_by_now_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    file.write_text(f"{os.getpid()} 1\n")
    assert LastingProcess.find(file) is None


def test_make_cluster_serves_until_ctrl_c_and_leaves_nothing_behind(tmp_path: Path) -> None:
    settings = tmp_path / "settings"
    settings.mkdir()
    for name in ("one", "two"):
        (settings / f"{name}.toml").write_text(f'server_id = "{name}"\n[listen]\nport = 0\n')
    command = [sys.executable, "-m", "tests.services.cluster", "--folder", str(tmp_path), "--settings", str(settings)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as cluster:
        try:
            assert cluster.stdout is not None
            assert cluster.stderr is not None
            pages = [cluster.stdout.readline() for _ in ("one", "two")]
            pids = [LastingProcess.find(file) for file in sorted(tmp_path.glob("*/pid"))]
            assert all(pages), cluster.stderr.read()
            assert len(pids) == 3
            for page in pages:
                ready = httpx.get(page.strip().rpartition(" ")[2].replace("/test/", "/health/ready"), trust_env=False).json()
                assert ready["parts"]["store"]["status"] == "up"
            cluster.send_signal(signal.SIGINT)
            _, said = cluster.communicate(timeout=60)
        finally:
            cluster.kill()  # the end of the block would wait for it
    assert cluster.returncode == 0, said
    assert not any(found is not None and found.is_running for found in pids)
    assert all('"event":"stopped"' in (tmp_path / f"{name}.log").read_text() for name in ("one", "two"))


def test_make_cluster_names_the_port_that_another_has_before_it_starts_anything(tmp_path: Path) -> None:
    settings, folder = tmp_path / "settings", tmp_path / "services"
    settings.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as other:
        for name, port in (("one", 0), ("two", other.getsockname()[1])):
            (settings / f"{name}.toml").write_text(f'server_id = "{name}"\n[listen]\nport = {port}\n')
        command = [sys.executable, "-m", "tests.services.cluster", "--folder", str(folder), "--settings", str(settings)]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=ROOT, check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"in use: port {port} (two); end what listens there")
    assert len(ended.stderr.splitlines()) == 1
    assert not folder.exists()


def _services(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    ended = subprocess.run(
        [sys.executable, "-m", "tests.services", command, "--folder", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended
