"""The gateway over HTTP, in OpenAI's wire format."""
