"""One HTML page that shows a run. Facts come from the tools; the page is a pure function of them."""
