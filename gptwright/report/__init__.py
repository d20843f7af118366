"""One self-contained HTML page per run: `write_report(run_dir)` reads what the stages wrote and draws it."""

from gptwright.report.page import render_report, write_report

__all__ = ["render_report", "write_report"]
