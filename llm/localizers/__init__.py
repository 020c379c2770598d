"""Who names the first error of a failed text: the model itself, a step checker, a server."""
