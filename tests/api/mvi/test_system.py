from vapi.base import Base


def test_the_server_says_what_it_is_and_who_asks(mvi: Base) -> None:
    assert mvi.server.get("/system")["result"] == "success"
    assert mvi.server.get("/version-info")["product"] == "Sightline"
    assert mvi.server.get("/users/any")["username"] == "ada"
    assert mvi.server.delete("/bgtasks?status=working") is None and "DELETE /api/dltasks/ID" in mvi.json()["fault"]
