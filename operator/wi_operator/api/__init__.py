"""Shapes: names, reasons, references and the models of the two kinds."""
