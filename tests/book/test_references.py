"""The bibliography and the citation file: every reference can be found by who wants to read it."""

import re
from pathlib import Path

import pytest
import yaml
from pybtex.database import parse_string

ROOT = Path(__file__).resolve().parents[2]
BIB = ROOT / "book" / "references.bib"
FORMS = {
    "doi": re.compile(r"10\.\d{4,9}/\S+"),
    "eprint": re.compile(r"\d{4}\.\d{4,5}"),
    "url": re.compile(r"https://\S+"),
}
# What CITATION.cff 1.2.0 allows and asks for, of the parts that this file uses.
ASKED = {"cff-version", "message", "title", "authors"}
PERSON = {
    "family-names",
    "given-names",
    "name-particle",
    "name-suffix",
    "alias",
    "affiliation",
    "orcid",
    "email",
    "website",
}
ENTITY = {"name", "address", "city", "country", "website", "email", "orcid", "alias"}
KINDS = {"software", "dataset"}


def unplaced(text):
    """Return the keys of a bibliography whose entries say neither where they are nor that this is not known."""
    found = []
    for key, entry in parse_string(text, "bibtex").entries.items():
        named = [name for name, form in FORMS.items() if form.fullmatch(entry.fields.get(name, ""))]
        if not named and "no DOI" not in entry.fields.get("note", ""):
            found.append(key)
    return found


def malformed(text):
    """Return the identifiers of a bibliography that are not written as such."""
    return [
        (key, name)
        for key, entry in parse_string(text, "bibtex").entries.items()
        for name, form in FORMS.items()
        if name in entry.fields and not form.fullmatch(entry.fields[name])
    ]


def wrong(citation):
    """Return what is missing or unknown in a citation file, one line each."""
    found = [f"{name} is missing" for name in sorted(ASKED - citation.keys())]
    if str(citation.get("cff-version")) != "1.2.0":
        found.append("cff-version is not 1.2.0")
    if citation.get("type", "software") not in KINDS:
        found.append(f"type {citation['type']!r} is neither software nor dataset")
    references = citation.get("references", [])
    for work in [citation, *references]:
        for author in work.get("authors", []):
            if not (author.keys() <= PERSON or (author.keys() <= ENTITY and "name" in author)):
                found.append(f"author {author} is neither a person nor an entity")
        if not isinstance(work.get("year", 0), int):
            found.append(f"year {work['year']!r} is no number")
        if "doi" in work and not FORMS["doi"].fullmatch(work["doi"]):
            found.append(f"doi {work['doi']!r} does not begin with 10.")
    found += [
        f"reference {one.get('title')!r} has no type" for one in citation.get("references", []) if "type" not in one
    ]
    return found


def test_every_reference_says_where_it_is():
    text = BIB.read_text(encoding="utf-8")
    assert unplaced(text) == malformed(text) == []
    entries = parse_string(text, "bibtex").entries
    assert [key for key, entry in entries.items() if "no DOI" in entry.fields.get("note", "")] == ["p1"]


def test_no_identifier_stands_twice():
    entries = parse_string(BIB.read_text(encoding="utf-8"), "bibtex").entries.values()
    for name in FORMS:
        values = [entry.fields[name] for entry in entries if name in entry.fields]
        assert len(values) == len(set(values)), name


def test_a_reference_without_a_place_is_noticed():
    plain = "@misc{one, title = {A}, year = {2020}, note = {arXiv:1607.00133}}"
    assert unplaced(plain) == ["one"]
    assert unplaced(plain.replace("note = {arXiv:1607.00133}", "eprint = {1607.00133}")) == []


@pytest.mark.parametrize(
    "field", ["doi = {https://doi.org/10.1145/1.2}", "eprint = {arXiv:1607.00133}", "url = {jmlr.org}"]
)
def test_an_identifier_in_another_form_is_noticed(field):
    assert malformed(f"@misc{{one, title = {{A}}, {field}}}") == [("one", field.partition(" ")[0])]


def test_the_citation_file_is_valid_and_names_the_papers_as_the_bibliography_does():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert wrong(citation) == []
    entries = parse_string(BIB.read_text(encoding="utf-8"), "bibtex").entries
    for work, key in zip(citation["references"], ("p1", "p2"), strict=True):
        fields = entries[key].fields
        assert work["title"] == re.sub(r"[{}]", "", fields["title"])
        assert work.get("doi") == fields.get("doi")
        names = [" ".join(person.last_names) for person in entries[key].persons["author"]]
        assert [author["family-names"] for author in work["authors"]] == names


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"title": None}, "title is missing"),
        ({"cff-version": "1.0"}, "cff-version is not 1.2.0"),
        ({"type": "article"}, "type 'article' is neither software nor dataset"),
        ({"authors": [{"full-name": "A"}]}, "author {'full-name': 'A'} is neither a person nor an entity"),
        ({"references": [{"title": "A", "authors": []}]}, "reference 'A' has no type"),
        ({"doi": "https://doi.org/10.1/2"}, "doi 'https://doi.org/10.1/2' does not begin with 10."),
    ],
)
def test_a_fault_in_the_citation_file_is_noticed(change, line):
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8")) | change
    assert line in wrong({name: value for name, value in citation.items() if value is not None})
