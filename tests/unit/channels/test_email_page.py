"""What docs/channels/email.md shows works as it stands."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from broker.channels.smtp import SmtpOptions
from broker.channels.templates import SAMPLE, Templates
from broker.domain.messages import TRACKING

PAGE = (Path(__file__).parents[3] / "docs" / "channels" / "email.md").read_text()


def test_the_variables_are_those_a_template_may_show() -> None:
    table = PAGE.partition("| variable |")[2].partition("\n\n")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == set(SAMPLE)


def test_the_example_configuration_is_valid() -> None:
    (source,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    smtp = tomllib.loads(source)["smtp"]
    smtp["password"] = smtp.pop("password_env")
    assert SmtpOptions.model_validate(smtp).server_port == 587


def test_the_example_templates_work(tmp_path: Path) -> None:
    examples = re.findall(r"`(tracking\.fr\.\w+)`:\n\n```jinja\n(.*?)```", PAGE, re.DOTALL)
    assert [name for name, _ in examples] == ["tracking.fr.txt", "tracking.fr.html"]
    for name, source in examples:
        (tmp_path / name).write_text(source)
    mail = Templates(tmp_path).render(TRACKING, "fr", SAMPLE)
    assert mail.subject == "Suivez votre commande"
    assert "Bonjour Ada," in mail.text
    assert SAMPLE["link"] in mail.html


def test_the_ports_are_those_of_the_options() -> None:
    for security in ("starttls", "tls", "none"):
        options = SmtpOptions.model_validate(
            {"host": "mail.example.com", "sender": "a@b.example", "security": security}
        )
        assert f"| `{security}` | {options.server_port} |" in PAGE
