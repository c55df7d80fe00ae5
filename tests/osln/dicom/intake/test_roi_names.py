"""Names of regions: the rules, what a site adds, and the names of 298 real patients."""

import pytest

from osln.dicom.intake.roi_names import load_rules
from small.reference_data import reference_folder


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("GTVp", "tumor"), ("GTV-P", "tumor"), ("gtv_t 67.5Gy", "tumor"), ("GTV primaire", "tumor"),
        ("GTV T irm", "tumor"), ("Tumour", "tumor"), ("GTV_Oesophagus", "tumor"), ("GTV", "tumor"),
        ("GTV_70Gy", "tumor"), ("GTV TEP", "tumor"),
        ("GTVn", "node"), ("GTV GG", "node"), ("GTVggIID", "node"), ("NODAL GTV", "node"),
        ("GTV-Nd_67.5gy", "node"),
        ("LN 4R", "node"), ("Lymph node 3", "node"), ("OSLN_2", "node"), ("GANGLION1", "node"),
        ("GTV2 GG", "node"),
        ("GTV1", "ambiguous"), ("GTV-1", "ambiguous"), ("GTV T et N+", "ambiguous"), ("GTV T+N", "ambiguous"),
        ("GTV et GG", "ambiguous"), ("GTV neck", "ambiguous"), ("iGTV", "ambiguous"),
        ("LN level IV", "ambiguous"),
        ("GTV_Mass_CT", "ambiguous"), ("GTV-G", "ambiguous"),
        ("PTV_GTVn", "other"), ("CTVn", "other"), ("Lungs-GTV", "other"), ("GTV+5mm", "other"),
        ("Spinal-Cord", "other"), ("Esophagus", "other"), ("N1", "other"), ("", "other"),
    ],
)  # fmt: skip
def test_what_a_name_means(name, kind):
    assert load_rules().meanings([name])[name].kind == kind


def test_bare_gtv_is_the_tumor_only_where_nothing_else_could_be_and_this_is_told():
    rules = load_rules()

    alone = rules.meanings(["GTV", "GTVn", "Heart"])
    assert alone["GTV"].kind == "tumor" and alone["GTV"].assumed and not alone["GTVn"].assumed
    for other in ("GTVp", "GTV1", "gtv pet"):
        assert rules.meanings(["GTV", other])["GTV"].kind == "ambiguous"


def test_a_decision_goes_before_every_rule():
    rules = load_rules(None, ["GTV1=tumor", " gtvN = ignore", "A=B=node"])

    meanings = rules.meanings(["gtv1", "GTVn", "A=B", "GTVp"])
    assert {name: meaning.kind for name, meaning in meanings.items()} == {
        "gtv1": "tumor", "GTVn": "other", "A=B": "node", "GTVp": "tumor",
    }  # fmt: skip


def test_a_site_adds_rules_and_words_in_a_file(tmp_path):
    path = tmp_path / "site.yaml"
    path.write_text(
        "ignored_words: [dibh]\nrules:\n  - {kind: tumor, pattern: 'gtv ?1', reason: our habit}\n"
        "  - {kind: node, pattern: 'gtv ?[2-9]'}\n"
    )

    meanings = load_rules(path).meanings(["GTV1 DIBH", "GTV_2", "GTVp"])

    assert [meaning.kind for meaning in meanings.values()] == ["tumor", "node", "tumor"]
    assert meanings["GTV1 DIBH"].reason == "our habit"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("rules: [", "is no YAML"),
        ("- tumor", "has no list 'rules'"),
        ("rules: [{kind: tumor}]", "rule 1 of site.yaml needs 'kind' and 'pattern'"),
        ("rules: [{kind: cancer, pattern: x}]", "has the kind 'cancer'"),
        ("rules: [{kind: tumor, pattern: '('}]", "is no regular expression"),
        ("rules: [{kind: tumor, patern: x, pattern: y}]", "unknown words: patern"),
    ],
)
def test_rules_that_cannot_be_understood_are_refused(tmp_path, content, words):
    path = tmp_path / "site.yaml"
    path.write_text(content)

    with pytest.raises(ValueError, match=words):
        load_rules(path)


def test_decisions_that_cannot_be_understood_are_refused(tmp_path):
    for choice in ("GTV1", "GTV1=cancer", "=tumor"):
        with pytest.raises(ValueError, match="is no decision about a region"):
            load_rules(None, [choice])
    with pytest.raises(ValueError, match="decided twice"):
        load_rules(None, ["GTV1=tumor", "gtv1=node"])
    with pytest.raises(ValueError, match="cannot be read"):
        load_rules(tmp_path / "missing.yaml")


def test_no_name_of_298_real_patients_is_taken_for_the_wrong_thing():
    openpyxl = pytest.importorskip("openpyxl")
    folder = reference_folder("headneck-petct-roi-names")
    book = openpyxl.load_workbook(folder / "data" / "INFO_GTVcontours_HN_original.xlsx")
    rules, counts, wrong = load_rules(), {}, []
    for sheet in book:
        for _, primary, nodes in list(sheet.iter_rows(values_only=True))[1:]:
            names = {"tumor": (primary or "").split(","), "node": (nodes or "").split(",")}
            names = {kind: [name.strip() for name in them if name.strip()] for kind, them in names.items()}
            meanings = rules.meanings(names["tumor"] + names["node"])
            for truth, them in names.items():
                for name in them:
                    kind = meanings[name].kind
                    counts[truth, kind] = counts.get((truth, kind), 0) + 1
                    if kind in ("tumor", "node") and kind != truth:
                        wrong.append(name)

    # One patient's primary is named "GTV n" in the table itself.
    assert wrong == ["GTV n"]
    assert counts == {
        ("tumor", "tumor"): 238, ("tumor", "ambiguous"): 63, ("tumor", "node"): 1,
        ("node", "node"): 100, ("node", "ambiguous"): 25, ("node", "other"): 3,
    }  # fmt: skip


@pytest.mark.parametrize("name", ["淋巴结1", "Лимфоузел", "GTV淋巴结", "心脏", "ΛΕΜΦΑΔΕΝΑΣ 2"])
def test_a_name_in_another_script_is_asked_for_and_never_ignored(name):
    meanings = load_rules().meanings([name, "GTVp"])

    assert meanings[name].kind == "ambiguous" and meanings[name].reason
    assert meanings["GTVp"].kind == "tumor"


def test_a_name_in_another_script_can_be_decided(tmp_path):
    site = tmp_path / "site.yaml"
    site.write_text("rules:\n  - {kind: node, pattern: '淋巴结 ?[0-9]*'}\n", encoding="utf-8")

    assert load_rules(site).meanings(["淋巴结 2"])["淋巴结 2"].kind == "node"
    assert load_rules(None, ["心脏=ignore"]).meanings(["心脏"])["心脏"].kind == "other"


@pytest.mark.parametrize(("name", "kind"), [("Tumør", "tumor"), ("PTV左", "other"), ("Größe", "other")])
def test_latin_letters_of_all_kinds_are_read(name, kind):
    assert load_rules().meanings([name, "GTVp"])[name].kind == kind
