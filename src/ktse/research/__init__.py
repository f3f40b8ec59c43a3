"""The paper's claims, tested on any data set: its ablation tables, and the phenomenon that SIE stands on."""
