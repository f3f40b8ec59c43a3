"""What a run did and how good its masks are: one self-contained HTML file, and a model card in Markdown."""

from ktse.reporting.model_card import write_model_card
from ktse.reporting.report import write_report

__all__ = ["write_model_card", "write_report"]
