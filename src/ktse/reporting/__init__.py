"""One self-contained HTML file that tells what a run did and how good its masks are."""

from ktse.reporting.report import write_report

__all__ = ["write_report"]
