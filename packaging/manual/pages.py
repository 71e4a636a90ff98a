#!/usr/bin/env python3
"""pages.py HELP.json VERSION EPOCH DIRECTORY: manual pages (mdoc) of `forge` and of each of its verbs.

HELP.json is what `forge --experimental-dump-help` prints, so a page can never say what the program does not do.
One page a verb of the first level, with its own verbs as sections: forge(1), forge-data(1), forge-model(1) ...
"""
import datetime
import json
import pathlib
import sys


def escaped(text):
    text = text.replace("\\", "\\e").replace("\u2026", "...")
    return "\n".join(("\\&" + line if line[:1] in (".", "'") else line) for line in text.splitlines())


def spelled(name):
    return ("-" if name["kind"] == "short" else "--") + name["name"]


def argument_lines(command):
    for argument in command.get("arguments", []):
        if not argument.get("shouldDisplay", True):
            continue
        value = argument.get("valueName", "value")
        if argument["kind"] == "positional":
            yield f".It Ar {escaped(value)}"
        else:
            words = ", ".join(spelled(name) for name in argument.get("names", []))
            yield f".It Cm {escaped(words)}" + (f" Ar {escaped(value)}" if argument["kind"] == "option" else "")
        for key in ("abstract", "discussion"):
            if argument.get(key):
                yield escaped(argument[key])
        if argument.get("allValues"):
            yield "One of " + ", ".join(escaped(v) for v in argument["allValues"]) + "."
        if argument.get("defaultValue"):
            yield f"Default: {escaped(argument['defaultValue'])}."


def synopsis(path, command):
    yield f".Nm {path}"
    if command.get("subcommands") and not any(a["kind"] == "positional" for a in command.get("arguments", [])):
        yield ".Ar verb"
    for argument in command.get("arguments", []):
        if not argument.get("shouldDisplay", True) or any(n["name"] in ("help", "version") for n in argument.get("names", [])):
            continue
        if argument["kind"] == "positional":
            word = f"Ar {escaped(argument.get('valueName', 'value'))}" + (" ..." if argument.get("isRepeating") else "")
        else:
            preferred = argument.get("preferredName") or argument["names"][0]
            word = f"Cm {escaped(spelled(preferred))}" + (f" Ar {escaped(argument.get('valueName', 'value'))}" if argument["kind"] == "option" else "")
        yield (".Op " if argument.get("isOptional") else ".") + word


def body(command, heading):
    if command.get("abstract"):
        yield heading
        yield escaped(command["abstract"])
    if command.get("discussion"):
        yield ".Pp\n.Bd -literal"
        yield escaped(command["discussion"])
        yield ".Ed"
    lines = list(argument_lines(command))
    if lines:
        yield ".Bl -tag -width Ds"
        yield from lines
        yield ".El"


def page(path, title, command, date, version, others):
    yield f".Dd {date}\n.Dt {title.upper()} 1\n.Os Forge {version}\n.Sh NAME\n.Nm {title}"
    yield ".Nd " + escaped(command.get("abstract", "forge").rstrip("."))
    yield ".Sh SYNOPSIS"
    yield from synopsis(path, command)
    verbs = [verb for verb in command.get("subcommands", []) if verb["commandName"] != "help"]
    for verb in verbs if title != "forge" else []:
        yield from synopsis(f"{path} {verb['commandName']}", verb)
    yield from body(command, ".Sh DESCRIPTION")
    if verbs:
        yield ".Sh VERBS"
        yield ".Bl -tag -width Ds" if title == "forge" else ""
        for verb in verbs:
            if title == "forge":
                yield f".It Cm {verb['commandName']}\n" + escaped(verb.get("abstract", ""))
            else:
                yield from body(verb, f".Ss {path} {verb['commandName']}")
        yield ".El" if title == "forge" else ""
    if title == "forge":
        yield ".Sh EXIT STATUS\n.Bl -tag -width Ds"
        for code, meaning in [(0, "done"), (1, "failed"), (2, "denied by policy"), (3, "a check, test or verification failed"), (4, "sign in first"),
                              (8, "a request was made and waits for votes"), (64, "wrong usage"), (69, "a daemon does not answer"), (75, "try again"),
                              (130, "interrupted")]:
            yield f".It {code}\n{meaning}"
        yield ".El"
    yield ".Sh SEE ALSO\n" + " ,\n".join(f".Xr {other} {section}" for other, section in others if other != title)


def main():
    help_path, version, epoch, directory = sys.argv[1:5]
    root = json.load(open(help_path))["command"]
    day = datetime.datetime.fromtimestamp(int(epoch), datetime.timezone.utc)
    date = f"{day:%B} {day.day}, {day.year}"
    verbs = [verb for verb in root.get("subcommands", []) if verb["commandName"] != "help" and verb.get("shouldDisplay", True)]
    others = [("forge", 1)] + [(f"forge-{verb['commandName']}", 1) for verb in verbs] + [("forge.yaml", 5), ("forged", 8)]
    pages = [("forge", "forge", root)] + [(f"forge {verb['commandName']}", f"forge-{verb['commandName']}", verb) for verb in verbs]
    for path, title, command in pages:
        text = "\n".join(line for line in page(path, title, command, date, version, others) if line)
        pathlib.Path(directory, f"{title}.1").write_text(text + "\n", encoding="utf-8")


main()
