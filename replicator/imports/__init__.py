"""Other tools' files as rules of ours: what can be carried over exactly, and a remark where something cannot."""
