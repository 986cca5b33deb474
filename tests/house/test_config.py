"""Settings: which source wins, what is refused and how it is said, and that no secret shows."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from stompgate import config
from stompgate.config import FileLayer, KeyPath, Settings, SettingsError, load, shipped_config
from stompgate.settings import Listen, redact_url


def loaded(
    text: str = "", tmp_path: Path | None = None, *, options: dict[KeyPath, str] | None = None, **environment: str
) -> Settings:
    file = None
    if tmp_path is not None:
        file = tmp_path / "s.toml"
        file.write_text(text)
    return load(file=file, environment=environment, options=options or {})


def mistakes(text: str, tmp_path: Path, *, options: dict[KeyPath, str] | None = None, **environment: str) -> list[str]:
    with pytest.raises(SettingsError) as raised:
        loaded(text, tmp_path, options=options, **environment)
    return [sentence.replace(str(tmp_path / "s.toml"), "FILE") for sentence in raised.value.sentences]


def test_without_sources_the_standard_profile_is_in_force() -> None:
    assert loaded() == Settings()
    assert Settings().listen.port == 8070
    assert Settings().server_id == "default-server"
    assert not Settings().auth.anonymous


def test_the_environment_alone_changes_no_settings_that_were_not_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STOMPGATE_SERVER_ID", "other")
    assert Settings().server_id == "default-server"


def test_each_later_source_wins(tmp_path: Path) -> None:
    file = "[http]\nhistory_needs_user = true\n[stomp]\nheaders_limit = 10\nheart_beat_send_ms = 100\n"
    settings = loaded(
        'profile = "legacy"\n' + file + "[listen]\nport = 1\nbacklog = 2\n",
        tmp_path,
        STOMPGATE_LISTEN__PORT="2",
        STOMPGATE_STOMP__HEART_BEAT_SEND_MS="200",
        options={("listen", "port"): "3"},
    )
    assert settings.auth.anonymous, "the profile wins over the default"
    assert settings.http.history_needs_user, "the file wins over the profile"
    assert settings.stomp.heart_beat_send_ms == 200, "the environment wins over the file"
    assert settings.listen.port == 3, "an option wins over the environment"
    assert (settings.listen.backlog, settings.stomp.headers_limit) == (2, 10), "what only the file says holds"


@pytest.mark.parametrize("source", ["file", "environment", "option"])
def test_the_profile_may_be_chosen_by_every_source(source: str, tmp_path: Path) -> None:
    settings = loaded(
        'profile = "legacy"' if source == "file" else "",
        tmp_path,
        options={("profile",): "legacy"} if source == "option" else {},
        **({"STOMPGATE_PROFILE": "legacy"} if source == "environment" else {}),
    )
    assert settings.profile == "legacy"
    assert settings.listen.allowed_origins == ("*",)
    assert settings.http.operators == ("*",)
    assert not settings.http.history_needs_user
    assert not settings.stomp.server_header


def test_texts_from_the_environment_become_what_their_key_takes() -> None:
    settings = loaded(
        STOMPGATE_LISTEN__ALLOWED_ORIGINS="https://a.example, same-origin",
        STOMPGATE_AUTH__ANONYMOUS="TRUE",
        STOMPGATE_CHAT__COMPARE_EVERY_S="1.5",
        STOMPGATE_TIME_ZONE="Asia/Seoul",
        STOMPGATE_CONFIG="names a file and is no key",
        OTHER="ignored",
    )
    assert settings.listen.allowed_origins == ("https://a.example", "same-origin")
    assert settings.auth.anonymous
    assert settings.chat.compare_every_s == 1.5
    assert str(settings.zone) == "Asia/Seoul"
    assert Settings().zone is None


def test_all_mistakes_are_named_at_once_with_source_key_and_expectation(tmp_path: Path) -> None:
    text = """
        nonsense = 1
        [listen]
        prot = 3
        backlog = 0
        [websocket]
        paths = []
        [stomp]
        header_line_limit_bytes = 100000
        [http]
        operators = ["10.0.0.0/8", 3]
        [chat]
        page_messages = 1.5
        compare_every_s = "soon"
        gap_wait_ms = true
        [auth]
        anonymous = "yes"
        mode = "none"
    """
    environment = {
        "STOMPGATE_LISTEN__PORT": "99999",
        "STOMPGATE_LOG": "loud",
        "STOMPGATE_FOO__BAR": "1",
        "STOMPGATE_LOG__LEVEL": "x",
    }
    said = mistakes(text, tmp_path, options={("server_id",): "a b"}, **environment)
    assert sorted(said) == sorted(
        [
            "FILE: nonsense: there is no such key",
            "FILE: listen.prot: there is no such key; is port meant?",
            "FILE: listen.backlog: expected at least 1, not 0",
            "FILE: websocket.paths: expected at least 1 of them",
            "FILE: stomp.header_line_limit_bytes: expected at most frame_limit_bytes (65536)",
            "FILE: http.operators: expected a text, not 3",
            "FILE: chat.page_messages: expected a whole number, not 1.5",
            "FILE: chat.compare_every_s: expected a number, not 'soon'",
            "FILE: chat.gap_wait_ms: expected a whole number, not True",
            "FILE: auth.anonymous: expected true or false, not 'yes'",
            "FILE: auth.mode: expected 'header' or 'users', not 'none'",
            "environment variable STOMPGATE_LISTEN__PORT: expected at most 65535, not 99999",
            "environment variable STOMPGATE_LOG: expected a section with keys of its own, not 'loud'",
            "environment variable STOMPGATE_FOO__BAR: there is no such key",
            "option --server-id: expected 1 to 64 of the signs A-Z a-z 0-9 . _ : -, not 'a b'",
        ]
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("listen = 3", "FILE: listen: expected a section with keys of its own, not 3"),
        ("time_zone = 3", "FILE: time_zone: expected a text, not 3"),
        ('time_zone = "Mars"', 'FILE: time_zone: expected "" or the name of a time zone like "Asia/Seoul", not \'Mars\''),
        ("[listen]\nhead_timeout_s = 0", "FILE: listen.head_timeout_s: expected more than 0.0, not 0"),
        ("[listen]\nallowed_origins = 3", "FILE: listen.allowed_origins: expected a list of texts, not 3"),
        (
            '[listen]\nallowed_origins = ["https://a.example/"]',
            'FILE: listen.allowed_origins: expected a list of "*", "same-origin" or origins like "https://chat.example.org",'
            " without a path; not 'https://a.example/'",
        ),
        ('[websocket]\npaths = ["ws"]', "FILE: websocket.paths: expected a list of paths that begin with \"/\"; not 'ws'"),
        (
            '[http]\noperators = ["*", "here"]',
            'FILE: http.operators: expected a list of "*" or networks like "10.0.0.0/8"; not \'here\'',
        ),
        (
            "[connections]\noutbox_limit_bytes = 65536\n[stomp]\nframe_limit_bytes = 100000",
            "FILE: connections.outbox_limit_bytes: expected at least stomp.frame_limit_bytes",
        ),
        (
            "[stomp]\nheart_beat_send_ms = 20",
            "FILE: stomp.heart_beat_send_ms: expected 0 or at least 100: nothing more often can be promised, not 20",
        ),
        ("[tcp]\nport = -2", "FILE: tcp.port: expected at least -1, not -2"),
        (
            '[tcp]\nclear_text = true\ntls_certificate = "/dev/null"\ntls_key = "/dev/null"',
            "FILE: tcp.clear_text: expected false where this port has a certificate of its own",
        ),
        (
            '[tcp]\ntls_key = "/dev/null"',
            "FILE: tcp.tls_key: expected tls_certificate as well: a key is of no use without its certificate",
        ),
        (
            f'server_id = "{"x" * 200}"',
            f"FILE: server_id: expected 1 to 64 of the signs A-Z a-z 0-9 . _ : -, not '{'x' * 76}...",
        ),
        ("a = ", "FILE: not valid TOML: Invalid value (at end of document)"),
        ('relay = "kafka"', 'FILE: relay: expected a URL that begins with its scheme, like "local:"'),
        ('relay = "carrier-pigeon://u:secret@loft"', "FILE: relay: expected a URL with one of the schemes kafka:, local:"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(text: str, said: str, tmp_path: Path) -> None:
    assert mistakes(text, tmp_path) == [said]


def test_half_of_a_tls_pair_is_refused(tmp_path: Path) -> None:
    (tmp_path / "half.pem").touch()
    half = tmp_path / "half.pem"
    assert mistakes(f'[listen]\ntls_key = "{half}"', tmp_path) == [
        "FILE: listen.tls_key: expected tls_certificate as well: a key is of no use without its certificate"
    ]
    assert mistakes("", tmp_path, options={("listen", "tls_certificate"): str(half)}) == [
        "option --tls-certificate: expected tls_key as well: a certificate is of no use without its key"
    ]
    assert Listen(tls_certificate="c", tls_key="k").tls_key == "k"


def test_tls_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    gone = tmp_path / "gone.pem"
    said = mistakes(f'[listen]\ntls_key = "{gone}"\ntls_certificate = "{gone}"', tmp_path)
    assert len(said) == 2
    assert all(str(gone) in sentence and "expected a file that can be read" in sentence for sentence in said)


def test_a_settings_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as raised:
        load(file=tmp_path / "none.toml", environment={}, options={})
    assert raised.value.sentences == [f"{tmp_path / 'none.toml'}: cannot be read: No such file or directory"]
    (tmp_path / "latin.toml").write_bytes(b'a = "\xe4"')
    with pytest.raises(SettingsError, match="expected text in UTF-8"):
        load(file=tmp_path / "latin.toml", environment={}, options={})


def test_a_secret_may_come_from_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "store-url"
    secret.write_text("sqlite:from-file.db\nsecond line\n")
    settings = loaded('store = "sqlite:below.db"', tmp_path, STOMPGATE_STORE_FILE=str(secret))
    assert settings.store.get_secret_value() == "sqlite:from-file.db"
    settings = loaded(f'store_file = "{secret}"', tmp_path, options={("store",): "sqlite:above.db"})
    assert settings.store.get_secret_value() == "sqlite:above.db"


def test_a_secret_named_twice_or_not_there_is_refused(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    assert mistakes(f'store = "sqlite:x"\nstore_file = "{gone}"', tmp_path) == [
        "FILE: store_file: expected either this or store, not both"
    ]
    for named in (f'"{gone}"', "3"):
        assert mistakes(f"store_file = {named}", tmp_path) == [
            "FILE: store_file: expected the name of a file that can be read, with the value of store in it"
        ]


@pytest.mark.parametrize(
    "url", ["sqlite://user:planted@host/x", "sqlite:x?password=planted", "sqlite://:planted@h", "sqlite://u:plan/ted@h"]
)
def test_no_secret_shows_in_repr_page_or_error(url: str, tmp_path: Path) -> None:
    settings = loaded("", tmp_path, STOMPGATE_STORE=url)
    for shown in (repr(settings), str(settings), str(settings.redacted())):
        assert "planted" not in shown
        assert "plan/ted" not in shown
    refused = mistakes(f'store = "{url.replace("sqlite", "other")}"', tmp_path, STOMPGATE_RELAY="planted")
    assert len(refused) == 2
    assert "plan" not in "".join(refused)


def test_a_url_without_secrets_is_shown_whole() -> None:
    for url in ("sqlite:///var/lib/chat.db", "redis://host:6379/0", "mysql://user@host/db", "local:"):
        assert redact_url(url) == url


def test_settings_cannot_be_changed_once_made() -> None:
    settings = Settings()
    with pytest.raises(ValidationError):
        settings.listen.port = 1
    with pytest.raises(ValidationError):
        settings.store = SecretStr("sqlite:x")


def test_the_profile_file_holds_defaults_that_differ_and_nothing_else() -> None:
    legacy = load(file=None, environment={}, options={("profile",): "legacy"}).redacted()
    standard = Settings().redacted()
    differing = {
        f"{section}.{key}"
        for section, values in legacy.items()
        if isinstance(values, dict)
        for key in values
        if values[key] != standard[section][key]
    }
    assert differing == {
        "listen.allowed_origins",
        "sockjs.like_spring",
        "stomp.server_header",
        "auth.anonymous",
        "http.operators",
        "http.history_needs_user",
    }


def test_an_installed_program_finds_its_files_beside_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (shipped_config() / "legacy.toml").is_file()
    (tmp_path / "shipped_config").mkdir()
    monkeypatch.setattr(config, "__file__", str(tmp_path / "config.py"))
    assert shipped_config() == tmp_path / "shipped_config"


def test_a_value_belongs_to_the_layer_that_says_it() -> None:
    layer = FileLayer({"listen": {"port": 1}, "log": 3}, Path("f"))
    assert layer.has(("listen", "port"))
    assert layer.has(("log", "level")), "a text in the place of a section hides what is in it"
    assert not layer.has(("listen", "host"))


def test_credentials_of_the_service_lie_between_the_file_and_the_environment(tmp_path: Path) -> None:
    file, folder = tmp_path / "s.toml", tmp_path / "credentials"
    folder.mkdir()
    file.write_text('store = "sqlite:of-the-file"\nrelay = "local:"\n')
    for key in ("store", "sessions", "not-ours"):
        (folder / key).write_text(f"sqlite:{key}\n" if key == "store" else "memory:\n")
    handed = {"CREDENTIALS_DIRECTORY": str(folder)}
    assert load(file=file, environment=handed, options={}).store.get_secret_value() == "sqlite:store"
    both = {**handed, "STOMPGATE_STORE": "sqlite:of-the-environment"}
    assert load(file=file, environment=both, options={}).store.get_secret_value() == "sqlite:of-the-environment"


def test_a_credential_that_is_wrong_is_named_and_not_shown(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("clay://planted@tablet\n")
    (tmp_path / "relay").write_bytes(b"\xff\n")
    with pytest.raises(SettingsError) as raised:
        load(file=None, environment={"CREDENTIALS_DIRECTORY": str(tmp_path)}, options={})
    wrong_relay, wrong_store = sorted(raised.value.sentences)
    assert wrong_relay.startswith("credential relay: expected the name of a file")
    assert wrong_store.startswith("credential store: expected ")
    assert "planted" not in wrong_store


# The operator's token, a secret within a section


def test_the_token_may_come_from_a_file_by_every_source(tmp_path: Path) -> None:
    (tmp_path / "operator_token").write_text("a-token-of-the-file\nand more")
    named = f'[operator]\ntoken_file = "{tmp_path}/operator_token"\n'
    for settings in (
        loaded(named, tmp_path),
        loaded(STOMPGATE_OPERATOR__TOKEN_FILE=str(tmp_path / "operator_token")),
        loaded(CREDENTIALS_DIRECTORY=str(tmp_path)),
    ):
        assert settings.operator.token.get_secret_value() == "a-token-of-the-file"
        assert settings.redacted()["operator"]["token"] == "**********"
        assert "a-token-of" not in repr(settings)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('[operator]\ntoken = "planted"', 'FILE: operator.token: expected "" or 16 to 256 visible ASCII characters'),
        ("[operator]\ntoken = 1", "FILE: operator.token: expected a text"),
        ('operator = "planted"', "FILE: operator: expected a section with keys of its own"),
        (
            '[operator]\ntoken = "x"\ntoken_file = "y"',
            "FILE: operator.token_file: expected either this or token, not both",
        ),
        (
            '[operator]\nsocket = "a/b"',
            """FILE: operator.socket: expected "", "-" or an absolute path of at most 107 bytes, not 'a/b'""",
        ),
    ],
)
def test_a_mistake_about_operators_is_said_without_the_token(tmp_path: Path, text: str, sentence: str) -> None:
    assert mistakes(text, tmp_path)[0] == sentence
