"""Command line: parse, call the library, print. Nothing else prints. Data to stdout, talk to stderr.

Only click is imported here; every verb loads what it needs, so that help answers at once.
"""

import os

import click

from advisor.cli import know, run, search
from advisor.cli.talk import Verbs

os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # its memory profiler warns of blocks older than the measurement


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="sequence-architecture-advisor")
def main() -> None:
    """Which sequence architecture for this data, on this device, within this budget?"""


for verb in (
    search.recommend,
    search.resume,
    know.inspect,
    know.profile,
    know.device,
    know.rules,
    know.lab,
    run.predict,
    run.export,
    run.report,
    run.explain,
):
    main.add_command(verb)
