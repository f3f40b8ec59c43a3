"""Whether the results of a run should be used: good, look, or do-not-use, with the signs that say so."""

from ktse.verdict.verdict import Level, Sign, Verdict, read_verdict

__all__ = ["Level", "Sign", "Verdict", "read_verdict"]
