"""Which region of a structure set is the primary tumor, which are nodes: rules in a file that a site extends.

The rules and how they are written: `osln/data/roi_names.yaml`. Names differ between hospitals and clash
("GTV1" is a tumor in one and a node in the other), so what the rules cannot tell is ambiguous, never guessed.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml

RULES_FILE = Path(__file__).resolve().parents[2] / "data" / "roi_names.yaml"
KINDS = ("tumor", "node", "other", "ambiguous")
CHOICES = ("tumor", "node", "ignore")
LATIN = str.maketrans(
    {
        "ß": "ss",
        "æ": "ae",
        "œ": "oe",
        "ø": "o",
        "ł": "l",
        "đ": "d",
        "ð": "d",
        "þ": "th",
        "\N{LATIN SMALL LETTER DOTLESS I}": "i",
    }
)
"""Latin letters that Unicode does not take for another letter with an accent."""


@dataclass(frozen=True)
class Rule:
    """One line of the rules file; see there."""

    name: str
    kind: str
    pattern: re.Pattern[str]
    reason: str
    alone: bool = False


@dataclass(frozen=True)
class Meaning:
    """What a region's name means.

    Attributes:
        kind: "tumor", "node", "other" or "ambiguous".
        reason: Why, for the report.
        assumed: Whether a person should look at it, as the rule needs the other names to decide.
    """

    kind: str
    reason: str
    assumed: bool = False


@dataclass(frozen=True)
class RoiRules:
    """Rules in order of precedence, and names that somebody has decided.

    Attributes:
        rules: The first that matches decides.
        ignored_words: Taken out of names before matching.
        chosen: Kind by name in small letters; goes before the rules.
        applied: Of `chosen`, the names that some region had; grows as names are looked up.
    """

    rules: tuple[Rule, ...]
    ignored_words: frozenset[str]
    chosen: Mapping[str, str]
    applied: set[str] = field(default_factory=set, compare=False)

    @property
    def unused(self) -> list[str]:
        """Names that somebody has decided about and that no region had so far, in small letters."""
        return sorted(self.chosen.keys() - self.applied)

    def meanings(self, names: Iterable[str]) -> dict[str, Meaning]:
        """What each region of one structure set means; all its names together, as some rules need that."""
        found: dict[str, tuple[Meaning, bool]] = {name: self._match(name) for name in names}
        unsure = [name for name, (_, alone) in found.items() if alone]
        claimed = any(
            meaning.kind in ("tumor", "ambiguous") for meaning, alone in found.values() if not alone
        )
        for name in unsure:
            if claimed or len(unsure) > 1:
                reason = "a gross tumor volume without a word more, beside others that could be the tumor"
                found[name] = Meaning("ambiguous", reason), True
        return {name: meaning for name, (meaning, _) in found.items()}

    def decisions(self, names: Iterable[str]) -> list[str]:
        """Where names mean something else than by the built-in rules alone: what was decided about them."""
        return sorted(
            f"{_key(name)}={'ignore' if own.kind == 'other' else own.kind}{' alone' * alone}"
            for name in set(names)
            for own, alone in [self._match(name)]
            if (own.kind, alone) != (built_in()._match(name)[0].kind, built_in()._match(name)[1])
        )

    def ignoring(self, names: Iterable[str]) -> "RoiRules":
        """The same rules, but these names mean nothing."""
        return replace(self, chosen={**self.chosen, **{_key(name): "ignore" for name in names}})

    def _match(self, name: str) -> tuple[Meaning, bool]:
        if kind := self.chosen.get(_key(name)):
            self.applied.add(_key(name))
            return Meaning("other" if kind == "ignore" else kind, "decided by whoever imports"), False
        plain, unread = self.plain(name), unread_letters(name)
        for rule in self.rules:
            if unread and rule.pattern.fullmatch(_key(name)):
                return Meaning(rule.kind, rule.reason, rule.alone), rule.alone
            if rule.pattern.fullmatch(plain) and not (unread and rule.kind in ("tumor", "node")):
                return Meaning(rule.kind, rule.reason, rule.alone), rule.alone
        if unread:
            # Ignored, a node that is named in another script would be lost without a word.
            return Meaning("ambiguous", f"no rule reads {''.join(sorted(unread))[:12]!r}"), False
        return Meaning("other", "no rule names it"), False

    def plain(self, name: str) -> str:
        """The name as the patterns see it."""
        letters = _latin(name).encode("ascii", "ignore").decode()
        letters = re.sub(r"[+&]", " and ", letters)
        letters = re.sub(r"(?<![\d.])\d{2}(?:[.,]\d+)? ?gy\b", " ", letters)
        letters = re.sub(r"(?<![\d.])[2-9]\d(?:[.,]\d+)?\s*$", " ", letters)
        words = re.sub(r"[^a-z0-9<>]+", " ", letters).split()
        return " ".join(word for word in words if word not in self.ignored_words)


def unread_letters(name: str) -> set[str]:
    """Letters of other scripts than the Latin one, which the patterns do not see."""
    return {letter for letter in _latin(name) if letter.isalpha() and not letter.isascii()}


def _latin(name: str) -> str:
    """In small letters, accents parted from their letters."""
    return unicodedata.normalize("NFKD", name.lower().translate(LATIN))


@cache
def built_in() -> RoiRules:
    """The rules that come with the program."""
    return RoiRules(*_read(RULES_FILE), {})


def load_rules(site_file: str | Path | None = None, choices: Sequence[str] = ()) -> RoiRules:
    """The built-in rules, after those of a site and after single decisions.

    Args:
        site_file: YAML of the same form as the built-in file.
        choices: Decisions like "GTV1=tumor"; tumor, node or ignore.

    Raises:
        ValueError: A file or a decision that is not understood.
    """
    usual = built_in()
    site, site_ignored = _read(Path(site_file)) if site_file else ((), frozenset())
    chosen: dict[str, str] = {}
    for choice in choices:
        name, separator, kind = choice.rpartition("=")
        kind = kind.strip().lower()
        if not separator or not name.strip() or kind not in CHOICES:
            raise ValueError(
                f"{choice!r} is no decision about a region; expected NAME=tumor, NAME=node or NAME=ignore"
            )
        if chosen.setdefault(_key(name), kind) != kind:
            raise ValueError(
                f"region {name.strip()!r} is decided twice, as {chosen[_key(name)]} and as {kind}"
            )
    return RoiRules((*site, *usual.rules), usual.ignored_words | site_ignored, chosen)


def _read(path: Path) -> tuple[tuple[Rule, ...], frozenset[str]]:
    try:
        content: Any = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except OSError as error:
        raise ValueError(f"the rules file {path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"the rules file {path.name} is no YAML: {str(error)[:200]}") from error
    if not isinstance(content, dict) or not isinstance(content.get("rules", []), list):
        raise ValueError(f"the rules file {path.name} has no list 'rules'; see roi_names.yaml for the form")
    words = content.get("ignored_words") or []
    return tuple(_rule(item, n, path) for n, item in enumerate(content.get("rules") or [], 1)), frozenset(
        str(word).lower() for word in words
    )


def _rule(item: Any, number: int, path: Path) -> Rule:
    where = f"rule {number} of {path.name}"
    if not isinstance(item, dict) or not {"kind", "pattern"} <= set(item):
        raise ValueError(f"{where} needs 'kind' and 'pattern'; see roi_names.yaml for the form")
    if unknown := set(item) - {"name", "kind", "pattern", "reason", "alone"}:
        raise ValueError(f"{where} has unknown words: {', '.join(sorted(map(str, unknown)))}")
    if item["kind"] not in KINDS:
        raise ValueError(f"{where} has the kind {item['kind']!r}; expected one of {', '.join(KINDS)}")
    try:
        pattern = re.compile(str(item["pattern"]))
    except re.error as error:
        raise ValueError(f"the pattern of {where} is no regular expression: {error}") from error
    name = str(item.get("name") or where)
    return Rule(name, item["kind"], pattern, str(item.get("reason") or name), bool(item.get("alone")))


def _key(name: str) -> str:
    return " ".join(name.split()).casefold()
