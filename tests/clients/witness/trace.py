"""Calls of aclnn functions in a softcann trace."""
import re

ENTRY = re.compile(r"softcann [\d.]+ tid \d+ +(\w+)\((.*)\) = (\S+).*?, [\d.]+ us(?: -> (.*))?$")
ARGUMENT = re.compile(r'(\w+)=("(?:[^"]*)"(?:\.\.\.)?|[^,]*)(?:, |$)')


def parse_arguments(text):
    return {name: value.strip('"') for name, value in ARGUMENT.findall(text)}


def calls(lines, executors):
    """{operator: {sample: [(function, {parameter: text}), ...]}}, only what ran between ``begin`` and ``end``.

    ``executors`` is what earlier lines of the process have left: address -> arguments of phase 1.
    """
    out, current, inside = {}, None, False
    for line in lines:
        if line.startswith("# "):
            word, *rest = line[2:].split()
            if word == "sample":
                current = out.setdefault(rest[1], {}).setdefault(int(rest[0]), [])
            inside = word == "begin"
            continue
        match = ENTRY.match(line)
        if match is None or not match[1].startswith("acl"):
            continue
        function, arguments, outputs = match[1], match[2], match[4] or ""
        if function.endswith("GetWorkspaceSize"):
            executors[parse_arguments(outputs).get("executor")] = parse_arguments(arguments)
        elif "executor" in (given := parse_arguments(arguments)) and "workspaceSize" in given and inside and current is not None:
            current.append((function, executors.get(given["executor"], {})))
    return out
