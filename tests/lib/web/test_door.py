"""Who is let in, asked over HTTP in this process."""

import json
from types import ModuleType, SimpleNamespace

import pytest
import uvicorn
from argon2 import PasswordHasher
from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.testclient import TestClient
from monailabel import app as server_of_monai_label
from monailabel.endpoints import datastore
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from lib.web import dicomweb_routes, logins, model_routes, review_routes, worklist_routes
from lib.web import house as house_module
from lib.web.door import OPEN, SAFE, role_needed, route_of
from lib.web.house import Access, house_of, install
from lib.who import who
from osln.accounts import users as accounts
from osln.accounts.users import UsersFile

PASSWORD = "correct horse battery"
HERE = "http://127.0.0.1:8000"


def server(access=None, studies=None, argv=("serve", "--host", "127.0.0.1")) -> FastAPI:
    app = FastAPI()
    app.add_middleware(CORSMiddleware, allow_origins=["*"], allow_credentials=True)

    @app.get("/info/")
    @app.post("/train/ct")
    @app.put("/datastore/label")
    @app.delete("/datastore/image")
    @app.delete("/datastore/")
    @app.get("/logs/")
    @app.post("/reload")
    def answer() -> dict[str, str | None]:
        account = who()
        return {"asked by": account.name if account else None}

    install(app, house_of(access or Access(), studies, argv))
    return app


def client(app, address="127.0.0.1", base=HERE) -> TestClient:
    return TestClient(app, base_url=base, client=(address, 50000), follow_redirects=False)


@pytest.fixture(autouse=True)
def cheap_hashes(monkeypatch):
    """What a hash costs is not asked here."""
    cheap = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr(accounts, "_hasher", cheap)
    monkeypatch.setattr(accounts, "_NOBODY", cheap.hash("a password that no account has"))


@pytest.fixture
def people(tmp_path):
    """A server with three accounts, and a way to be one of them."""
    users = UsersFile(tmp_path / "users.json")
    for name, role in (("Anna", "annotator"), ("Rea", "reviewer"), ("Ada", "admin")):
        users.add(name, role, PASSWORD)
    app = server(
        Access(users=users.path, public_names=("osln.hospital",)), argv=("serve", "--host", "0.0.0.0")
    )

    def log_in(name: str, password: str = PASSWORD):
        return client(app).post("/auth/token", data={"username": name, "password": password})

    def person(name: str) -> TestClient:
        one = client(app)
        one.headers["Authorization"] = f"Bearer {log_in(name).json()['access_token']}"
        return one

    person.log_in, person.app, person.users, person.folder = log_in, app, users, tmp_path
    return person


def test_programs_of_this_computer_are_answered_by_its_names():
    for base in (HERE, "http://localhost:8000", "http://[::1]:8000"):
        assert client(server(), base=base).get("/info/").status_code == 200


def test_other_computers_are_not_answered_without_accounts():
    reply = client(server(), "192.168.1.7").get("/info/")
    assert reply.status_code == 403 and "--users FILE" in reply.json()["detail"]
    assert client(server(Access(open_to_all=True)), "192.168.1.7").get("/info/").status_code == 200


@pytest.mark.parametrize(
    "name", ["evil.example", "127.0.0.1.evil.example", "localhost.", "", "[", "127.0.0.1@evil"]
)
def test_another_host_name_is_not_answered(name):
    # What a page does whose name was bound to 127.0.0.1 after it was loaded.
    reply = client(server()).get("/info/", headers={"Host": f"{name}:8000"})
    assert reply.status_code == 421 and "--public-name NAME" in reply.json()["detail"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9000"},
        {"Origin": "http://127.0.0.1.evil.example:8000"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
    ],
)
@pytest.mark.parametrize(("method", "path"), [("POST", "/train/ct"), ("POST", "/reload"), ("GET", "/info/")])
def test_a_page_of_another_origin_is_not_answered(headers, method, path):
    reply = client(server()).request(method, path, headers=headers)
    assert reply.status_code == 403 and "page of another origin" in reply.json()["detail"]
    assert "access-control-allow-origin" not in reply.headers


def test_own_pages_and_links_from_elsewhere_are_answered():
    own = client(server())
    assert own.post("/train/ct", headers={"Origin": HERE, "Sec-Fetch-Site": "same-origin"}).status_code == 200
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert own.get("/info/", headers=link).status_code == 200


@pytest.mark.parametrize("argv", [("--root_path", "/x"), ("--root_path=/x",), ("--root", "/x")])
def test_a_prefix_of_all_addresses_ends_the_start(monkeypatch, argv):
    with pytest.raises(ValueError, match="--root_path put a prefix before all addresses"):
        house_of(Access(), None, ("serve", *argv))
    monkeypatch.setattr(house_module.settings, "MONAI_LABEL_API_STR", "/api")
    with pytest.raises(ValueError, match="MONAI_LABEL_API_STR"):
        house_of(Access(), None, ("serve",))


def test_slicer_logs_in_and_is_known_by_name(people):
    assert client(people.app).get("/auth/").json()["enabled"] is True
    assert client(people.app).get("/info/").status_code == 401
    anna = people("Anna")
    assert anna.get("/info/").json() == {"asked by": "Anna"}
    assert anna.get("/auth/token/valid").json()["roles"] == ["annotator"]
    assert client(server()).get("/auth/").json()["enabled"] is False


def test_wrong_passwords_and_tokens_do_not_open(people):
    assert people.log_in("Anna", "wrong password").status_code == 401
    assert people.log_in("nobody").status_code == 401
    for header in ("Bearer x", "Basic x", "Bearer "):
        assert client(people.app).get("/info/", headers={"Authorization": header}).status_code == 401


def test_many_wrong_passwords_have_to_wait(people, monkeypatch):
    # A busy computer takes longer for one try than the first wait lasts: here no time passes.
    monkeypatch.setattr(logins, "time", SimpleNamespace(monotonic=lambda: 1000.0))
    found = [people.log_in("Anna", f"wrong password {i}").status_code for i in range(7)]
    assert found[:5] == [401] * 5 and found[5:] == [429, 429]
    reply = people.log_in("Anna")
    assert reply.status_code == 429 and int(reply.headers["Retry-After"]) >= 1


def test_a_removed_account_is_out_at_once(people):
    anna = people("Anna")
    people.users.remove("Anna")
    assert anna.get("/info/").status_code == 401


@pytest.mark.parametrize(
    ("method", "path", "least"),
    [
        ("GET", "/info/", "annotator"),
        ("PUT", "/datastore/label", "annotator"),
        ("POST", "/train/ct", "reviewer"),
        ("DELETE", "/datastore/image", "admin"),
        ("DELETE", "/datastore/", "admin"),
        ("GET", "/logs/", "admin"),
        ("POST", "/reload", "admin"),
    ],
)
def test_the_role_decides_what_an_account_may_do(people, method, path, least):
    order = ("Anna", "Rea", "Ada")
    first = ("annotator", "reviewer", "admin").index(least)
    for rank, name in enumerate(order):
        assert people(name).request(method, path).status_code == (200 if rank >= first else 403), name


@pytest.mark.parametrize(
    ("method", "path", "role"),
    [
        ("GET", "/logs/gpu", "admin"),
        ("PUT", "/model/ct", "admin"),
        ("DELETE", "/datastore/label", "reviewer"),
        ("POST", "/batch/infer/osln", "reviewer"),
        ("GET", "/train/", "annotator"),
        ("POST", "/logs\n", "admin"),
        ("POST", "/api/train/ct", "admin"),
        ("DELETE", "/osln/nobody/thought/of/it", "admin"),
        ("PATCH", "/datastore/label", "admin"),
        ("POST", "/infer/osln", "annotator"),
        ("POST", "/osln/history/restore", "reviewer"),
        ("GET", "/osln/history", "annotator"),
        ("PUT", "/osln/draft", "annotator"),
        ("POST", "/osln/lease", "annotator"),
        ("POST", "/osln/skip", "annotator"),
        ("GET", "*", "annotator"),
        ("GET", "http://evil.example/logs/", "annotator"),
        ("GET", "", "annotator"),
    ],
)
def test_the_table_of_roles(method, path, role):
    assert role_needed(method, path) == role


def test_every_address_that_takes_a_case_away_needs_an_admin():
    paths = [one.path for one in datastore.router.routes if one.endpoint is datastore.api_remove_image]
    assert sorted(paths) == ["/datastore/", "/datastore/image"]
    assert {role_needed("DELETE", path) for path in paths} == {"admin"}


def test_an_annotator_reaches_every_route_of_the_daily_work_and_no_route_is_left_to_the_last_line():
    everything = vars(server_of_monai_label).values()
    stock = [one for one in everything if isinstance(one, ModuleType) and hasattr(one, "router")]
    routes = [
        (method, route.path)
        for module in [*stock, dicomweb_routes, model_routes, review_routes, worklist_routes]
        for route in module.router.routes
        for method in route.methods - set(SAFE)
        if not OPEN.fullmatch(route.path)
    ]
    admins = {(method, path) for method, path in routes if role_needed(method, path) == "admin"}
    assert len(routes) > 30 and admins == {
        ("DELETE", "/datastore/"),
        ("DELETE", "/datastore/image"),
        ("PUT", "/model/{model}"),
        ("DELETE", "/model/{model}"),
    }


def test_what_a_proxy_says_to_be_an_address_is_noted_no_longer_than_one(people):
    client(people.app, "1" * 5000).post("/train/ct")
    line = json.loads((people.folder / "users-audit.log").read_text().splitlines()[-1])
    assert line["from"] == "1" * 64


def test_a_browser_logs_in_by_page_and_keeps_a_cookie_that_scripts_do_not_see(people):
    browser = client(people.app)
    sent = browser.get("/info/?a=1", headers={"Accept": "text/html"})
    assert sent.status_code == 303 and sent.headers["location"] == "/login?next=/info/%3Fa%3D1"
    assert 'name="password"' in browser.get(sent.headers["location"]).text
    form = {"username": "Ada", "password": PASSWORD, "next": "/logs/"}
    entered = browser.post("/login", data=form, headers={"Origin": HERE})
    cookie = entered.headers["set-cookie"]
    assert entered.headers["location"] == "/logs/" and entered.status_code == 303
    assert "HttpOnly" in cookie and "samesite=strict" in cookie.lower() and "Secure" not in cookie
    assert browser.get("/logs/").json() == {"asked by": "Ada"}
    assert browser.post("/logout", headers={"Origin": HERE}).status_code == 303
    browser.cookies.set(*cookie.partition(";")[0].split("="))
    assert browser.get("/logs/").status_code == 401


def test_behind_tls_the_cookie_never_travels_unprotected(people):
    browser = client(people.app, base="https://osln.hospital")
    entered = browser.post("/login", data={"username": "Ada", "password": PASSWORD})
    assert "Secure" in entered.headers["set-cookie"]


@pytest.mark.parametrize(("address", "believed"), [("127.0.0.1", True), ("10.0.0.7", False)])
def test_of_tls_in_front_a_proxy_on_this_computer_alone_is_believed(people, address, believed):
    """uvicorn's part, with its defaults, as the server runs."""
    config = uvicorn.Config(people.app)
    proxied = ProxyHeadersMiddleware(people.app, config.forwarded_allow_ips)
    form = {"username": "Ada", "password": PASSWORD}
    entered = client(proxied, address).post("/login", data=form, headers={"X-Forwarded-Proto": "https"})
    assert config.proxy_headers and ("Secure" in entered.headers["set-cookie"]) == believed


@pytest.mark.parametrize("path", ["/login", "/auth/token"])
def test_accounts_that_cannot_be_believed_let_nobody_log_in_and_say_why(people, path):
    (people.folder / "users.json").chmod(0o640)
    form = {"username": "Ada", "password": PASSWORD}
    told = client(people.app).post(path, data=form)
    assert told.status_code == 503 and "others may read" in told.json()["detail"]
    (people.folder / "users.json").unlink()
    (people.folder / "users.json").mkdir(mode=0o700)
    told = client(people.app).post(path, data=form)
    assert told.status_code == 503 and "users.json cannot be read" in told.json()["detail"]


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example", "/\\evil.example", "x", "/a\nb"]
)
def test_the_login_leads_to_no_other_server(people, target):
    form = {"username": "Ada", "password": PASSWORD, "next": target}
    assert client(people.app).post("/login", data=form).headers["location"] == "/"


def test_the_login_page_writes_no_foreign_text(people):
    page = client(people.app).get("/login", params={"next": '/"><script>alert(1)</script>'})
    assert "<script>" not in page.text and "script-src" not in page.headers["content-security-policy"]


def test_changes_and_refusals_are_noted_without_case_ids(people):
    people("Anna").put("/datastore/label?image=Mustermann")
    people("Anna").post("/train/ct")
    people("Anna").get("/logs/")
    client(people.app, "10.0.0.9").put("/datastore/label")
    client(people.app, "10.0.0.9").get("/info/")
    lines = [json.loads(line) for line in (people.folder / "users-audit.log").read_text().splitlines()]
    told = [(line["who"], line["what"], line["from"], line["status"]) for line in lines]
    assert ("Anna", "PUT /datastore/label", "127.0.0.1", 200) in told
    assert ("Anna", "POST /train/ct", "127.0.0.1", 403) in told
    assert ("Anna", "GET /logs", "127.0.0.1", 403) in told
    assert ("", "PUT /datastore/label", "10.0.0.9", 401) in told
    assert ("Anna", "POST /auth/token", "127.0.0.1", 200) in told
    assert not [line for line in told if line[1] == "GET /info"]
    assert "Mustermann" not in (people.folder / "users-audit.log").read_text()
    assert route_of("/proxy/dicom/studies/1.2.3/series") == "/proxy"


def test_logins_are_noted_by_name_and_names_without_an_account_never(people):
    people.log_in("Anna", "wrong password")
    people.log_in(PASSWORD)
    client(people.app).post("/login", data={"username": "Rea", "password": PASSWORD})
    lines = [json.loads(line) for line in (people.folder / "users-audit.log").read_text().splitlines()]
    told = [(line["who"], line["what"], line["status"]) for line in lines]
    assert told == [
        ("Anna", "POST /auth/token", 401),
        ("", "POST /auth/token", 401),
        ("Rea", "POST /login", 303),
    ]


def test_a_file_of_accounts_that_others_may_read_lets_nobody_in(people):
    ada = people("Ada")
    people.users.path.chmod(0o644)
    reply = ada.get("/info/")
    assert reply.status_code == 503 and "others may read" in reply.json()["detail"]


def test_a_file_of_accounts_in_the_store_and_an_empty_one_end_the_start(tmp_path):
    with pytest.raises(ValueError, match="lies in the store"):
        house_of(Access(users=tmp_path / "store" / "users.json"), tmp_path / "store", ())
    with pytest.raises(ValueError, match=r"there is no account in .*users add NAME"):
        house_of(Access(users=tmp_path / "users.json"), tmp_path / "store", ())


def test_the_host_of_the_command_line_is_a_name_unless_it_means_all():
    assert "10.1.2.3" in house_of(Access(), None, ("x", "--host", "10.1.2.3")).names
    assert "osln" in house_of(Access(), None, ("x", "--host=OSLN")).names
    assert house_of(Access(), None, ("x", "-i", "0.0.0.0")).names == ("127.0.0.1", "localhost", "::1")
