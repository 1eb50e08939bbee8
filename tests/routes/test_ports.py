"""What istiod takes ports for, and whether routes act there."""

from __future__ import annotations

from typing import Any

import pytest

from rollout.routes import ports
from rollout.routes.ports import Traffic
from tests.routes.around import told

HTTP, TCP, GUESSED = Traffic.HTTP, Traffic.TCP, Traffic.GUESSED


def service(*found: Any) -> dict[str, Any]:
    return {"metadata": {"name": "reviews", "namespace": "shop"}, "spec": {"ports": list(found)}}


def look(*found: Any, protocols: frozenset[str] = frozenset({"http"})) -> list[str]:
    return told(ports.look([*ports.of_service(service(*found))], protocols=protocols))


@pytest.mark.parametrize(
    ("port", "traffic"),
    [
        *(({"name": "http"}, HTTP), ({"name": "HTTP-main"}, HTTP), ({"name": "grpc-web-1"}, HTTP)),
        *(({"name": "tcp-main"}, TCP), ({"name": "https"}, TCP), ({"name": "redis-1"}, TCP)),
        *(({}, GUESSED), ({"name": "web"}, GUESSED), ({"name": "httpx"}, GUESSED)),
        ({"name": "tcp", "appProtocol": "http"}, HTTP),
        ({"appProtocol": "kubernetes.io/h2c"}, HTTP),
        ({"name": "http", "appProtocol": "mine.example.com/x"}, GUESSED),
        ({"port": 3306}, TCP),
        ({"name": "http", "port": 3306}, HTTP),
    ],
)
def test_app_protocol_or_the_first_word_of_the_name_says_what_a_port_carries(
    port: dict[str, Any], traffic: Traffic
) -> None:
    assert [one.traffic for one in ports.of_service(service({"port": 9080, **port}))] == [traffic]


def test_udp_ports_and_what_cannot_be_read_are_left_out() -> None:
    assert list(ports.of_service(service({"port": 53, "protocol": "UDP"}, {"protocol": 5}))) == []
    assert list(ports.of_service({**service(), "spec": None})) == []
    entry = {"metadata": {"name": "e"}, "spec": {"ports": [{"protocol": "UDP"}, None]}}
    assert [one.traffic for one in ports.of_entry(entry)] == [GUESSED]


def test_the_ports_of_a_service_entry_say_it_in_a_field_of_their_own() -> None:
    found = [{"number": 80, "name": "x", "protocol": "HTTP2"}, {"number": 81, "protocol": "TCP"}]
    entry = {"metadata": {"name": "e", "namespace": "shop"}, "spec": {"ports": found}}

    seen = list(ports.of_entry(entry))

    assert [(one.label, one.traffic) for one in seen] == [("x", HTTP), ("81", TCP)]
    assert seen[0].owner == "ServiceEntry shop/e"


def test_an_unnamed_port_is_a_note_since_plain_http_is_recognised_there_peers_180() -> None:
    """Peers 180: istiod looks at the first bytes; on the mesh weights act there (tests/mesh)."""
    message = (
        "PortProtocolGuessed: Service shop/reviews: port 9080 does not say that it is HTTP, so "
        "the first bytes of each connection decide, and what is not plain HTTP does not follow "
        "the weights (IST0118); begin its name with http, or set its appProtocol"
    )
    assert look({"port": 9080}) == [message]
    assert look({"port": 9080}, {"port": 80, "name": "http"}) == []


def test_http_routes_on_tcp_ports_alone_are_a_problem_peers_180() -> None:
    found = look({"port": 9080, "name": "tcp-main"}, {"port": 3306})

    message = (
        "! PortProtocol: Service shop/reviews: spec.ports tcp-main, 3306 carry TCP as Istio "
        "takes it, so http routes do nothing; begin the name of the port with http, or set its "
        "appProtocol to http"
    )
    assert found == [message]
    assert look({"port": 9080, "name": "tcp"}, {"port": 80, "name": "http"}) == []


def test_tcp_routes_on_http_ports_alone_are_a_problem() -> None:
    tcp = frozenset({"tcp"})

    assert "so tcp routes do nothing" in look({"port": 80, "name": "http"}, protocols=tcp)[0]
    assert look({"port": 80}, protocols=tcp) == []
    assert look({"port": 80, "name": "tcp"}, protocols=tcp) == []


def test_where_there_is_no_port_or_no_route_nothing_is_said() -> None:
    assert look() == []
    assert look({"port": 80, "name": "tcp"}, protocols=frozenset()) == []
