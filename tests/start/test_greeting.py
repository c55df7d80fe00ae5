"""The words that follow the start of the server."""

import greeting


def test_the_greeting_names_address_cases_and_models():
    words = greeting.words(
        "http://127.0.0.1:8000", {"name": "OSLN", "models": {"osln": {}, "ct": {}}}, {"total": 4}
    )

    assert "with 4 cases" in words
    assert "Models: osln, ct" in words
    assert 'MONAILabelClient("http://127.0.0.1:8000")' in words
    assert "OHIF      http://127.0.0.1:8000/ohif/ " in words


def test_a_server_with_accounts_says_how_to_log_in():
    words = greeting.with_login("https://127.0.0.1:8000")

    assert "https://127.0.0.1:8000" in words and "name and password" in words
