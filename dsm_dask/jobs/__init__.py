"""Jobs: steps declared as data, run one after another."""
