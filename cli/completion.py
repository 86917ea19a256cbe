"""`berth completion`: the script that makes a shell complete the command line, made from the command's own parsers."""

import argparse

SHELLS = ("bash", "zsh", "fish", "tcsh")
EXAMPLES = """\
examples:
  source <(berth completion bash)                                  in this shell
  berth completion bash > /etc/bash_completion.d/berth             for everybody on this machine
  berth completion zsh > "${fpath[1]}/_berth"                      for zsh
  berth completion fish > ~/.config/fish/completions/berth.fish    for fish
"""


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Put `completion` on the command line."""
    command = commands.add_parser(
        "completion",
        help="print what makes a shell complete this command",
        description="Print the script that makes a shell complete the commands and flags of berth.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("shell", choices=SHELLS, help="which shell")
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print it; gives the exit code."""
    import shtab

    from cli.__main__ import whole_parser

    print(shtab.complete(whole_parser(), options.shell))
    return 0
