"""Pages for people: templates rendered here, plain forms, and small ES modules where a browser is needed."""
