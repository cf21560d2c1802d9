"""Print the dependencies of pyproject.toml, with those of the extras named, one to a word, for pip."""

import sys
import tomllib

with open("pyproject.toml", "rb") as file:
    project = tomllib.load(file)["project"]
names = project["dependencies"] + [name for extra in sys.argv[1:] for name in project["optional-dependencies"][extra]]
print(" ".join(names))
