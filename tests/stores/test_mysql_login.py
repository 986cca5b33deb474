"""Who is let in by a database, and who by us: the user that the page makes, and one whose certificate is for its name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from stompgate.ports.part import SetupError
from stompgate.stores.mysql_connection import Address, Session, connect
from stompgate.stores.mysql_url import address_of, trust
from tests.deploy.certificates import Issued, issue
from tests.pages import blocks
from tests.ports.drafts import make_room, say
from tests.services import Service, database, start_database

from .mysql_rows import opened

SESSION = Session(lock_wait_s=2, idle_s=30, connect_s=10)


@pytest.fixture(scope="module")
def issued(tmp_path_factory: pytest.TempPathFactory) -> Issued:
    return issue(tmp_path_factory.mktemp("issued"), "tests")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, issued: Issued) -> Iterator[Service]:
    with start_database(tmp_path_factory.mktemp("database"), issued) as server:
        yield server


@pytest.fixture
def address(server: Service, issued: Issued) -> Address:
    return replace(address_of(server.url, tls=trust(str(issued.certificate))), host="localhost")


@pytest.mark.parametrize("is_known", [False, True])
async def test_a_login_over_tls_is_encrypted(server: Service, address: Address, is_known: bool) -> None:
    """MySQL asks for the password itself until it has seen it once, and then for less."""
    if not is_known:
        database(server.folder).administer("FLUSH PRIVILEGES")
    connection = await connect(address, SESSION)
    (found,) = await connection.run(("SHOW STATUS LIKE 'Ssl_version'", ()))
    connection.cut()
    assert found.rows[0][1].startswith("TLSv1.")


@pytest.mark.parametrize("is_known", [False, True])
async def test_a_login_without_tls_gets_by_where_none_is_asked_for(server: Service, address: Address, is_known: bool) -> None:
    if not is_known:
        database(server.folder).administer("FLUSH PRIVILEGES")
    connection = await connect(replace(address, tls=None), SESSION)
    assert connection.is_open
    connection.cut()


async def test_a_certificate_of_somebody_else_or_for_another_name_is_refused(address: Address) -> None:
    with pytest.raises(SetupError, match="certificate verify failed"):
        await connect(replace(address, tls=trust("system")), SESSION)
    with pytest.raises(SetupError, match="mismatch"):
        await connect(replace(address, host="127.0.0.1"), SESSION)


async def test_the_user_and_the_database_of_the_page_are_all_that_a_store_needs(server: Service) -> None:
    (block,) = blocks("docs/operations/cluster.md", "mysql")
    for statement in block.replace("stompgate", "page").split(";\n"):
        if statement:
            database(server.folder).administer(statement)
    async with opened(f"mysql://page:password@127.0.0.1:{server.port}/page") as store:
        await say(store, await make_room(store, "room"), "1")
