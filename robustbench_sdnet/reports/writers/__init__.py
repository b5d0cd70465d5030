"""Documents and records to text: one format a module, each with a function `render`."""
