"""The smallest of web applications: says hello to whoever sends a form."""

from flask import Flask, request

application = Flask(__name__)


@application.route("/", methods=["GET", "POST"])
def hello():
    name = request.values.get("name", "").strip() or "fellow earthling"
    return f"hello {name}", 200, {"Content-Type": "text/plain; charset=utf-8"}
