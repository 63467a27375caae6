"""The routes of the HTTP API, a router for each subject; `serve.app` puts them together."""
