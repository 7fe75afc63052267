"""The planner: refusals, names, the graph, history and configuration."""

from typing import Any

import pytest

from boxship.build import graph, plan
from boxship.build.dockerfile.parser import parse
from boxship.errors import DockerfileError
from boxship.oci.platform import host
from tests.unit.build.test_plan_tables import image, made


@pytest.mark.parametrize(
    ("line", "flag"),
    [
        ("RUN --mount=type=cache,target=/c true", "--mount"),
        ("RUN --network=none true", "--network=none"),
        ("RUN --security=insecure true", "--security=insecure"),
        ("RUN --device=vendor.com/x=y true", "--device"),
        ("COPY --link a /", "--link"),
        ("COPY --parents a /", "--parents"),
        ("COPY --exclude=*.o a /", "--exclude"),
        ("ADD --link a /", "--link"),
        ("ADD --exclude=*.o a /", "--exclude"),
        ("ADD --checksum=sha256:00 http://x/y /", "--checksum"),
        ("ADD --unpack=true a.tar /", "--unpack"),
        ("ADD --keep-git-dir=true https://github.com/a/b.git /", "--keep-git-dir"),
        ("ADD https://github.com/a/b.git /", "git repository"),
        ("COPY --chmod=u+x a /", "--chmod"),
    ],
)
def test_refused_with_its_line(line: str, flag: str) -> None:
    with pytest.raises(DockerfileError, match="not supported yet") as caught:
        made(f"FROM busybox\nENV a=b\n{line}\n")
    assert flag in str(caught.value)
    assert caught.value.line == 3


def test_refused_before_an_image_is_asked_for() -> None:
    with pytest.raises(DockerfileError, match="not supported yet"):
        plan.make(parse(b"FROM nowhere\nRUN --mount=type=tmpfs,target=/x true\n"), plan.Options(), {})


def test_other_platform_is_refused_and_the_own_one_is_not() -> None:
    with pytest.raises(DockerfileError, match="not supported yet") as caught:
        made("FROM --platform=windows/amd64 busybox\n")
    assert caught.value.line == 1
    own = host()
    text = f"FROM --platform={own.os}/{own.architecture} busybox\nFROM --platform=$BUILDPLATFORM busybox\n"
    assert isinstance(plan.make(parse(text.encode()), plan.Options(), {"busybox": image("busybox")}), graph.Plan)


def test_stages_that_the_target_does_not_need_are_not_planned() -> None:
    text = "FROM nosuch AS never\nRUN --mount=type=ssh true\nFROM busybox AS base\nRUN a\nFROM base AS last\nRUN b\n"
    found = made(text)
    assert [type(vertex.op) for vertex in found.vertices] == [graph.FromImage, graph.RunProcess, graph.RunProcess]
    assert len(made(text, target="base").vertices) == 2


def test_missing_images_are_named_with_their_lines() -> None:
    text = b"FROM one AS a\nFROM two\nCOPY --from=a / /\nCOPY --from=three / /t\n"
    found = plan.make(parse(text), plan.Options(), {})
    assert isinstance(found, graph.Missing)
    assert set(found.images) == {("one", 1), ("two", 2), ("three", 4)}


def test_names_count_the_steps_that_make_layers() -> None:
    found = made("FROM busybox AS a\nENV x=1\nRUN echo $x $y 'q'\nWORKDIR /w\nFROM scratch\nCOPY --from=a /f /${x:-none}\n")
    assert [vertex.name for vertex in found.vertices] == [
        "[a 1/3] FROM busybox",
        "[a 2/3] RUN echo 1 $y 'q'",
        "[a 3/3] WORKDIR /w",
        "[stage-1 1/1] COPY --from=a /f /none",
    ]
    assert made("FROM busybox\nRUN x\n").vertices[1].name == "[2/2] RUN x"


def test_history_and_config() -> None:
    text = (
        "FROM scratch\nARG A=1\nARG B\nENV C=$A\nLABEL k=v\nEXPOSE 80 53/udp\nVOLUME /d /e\nUSER u\nSTOPSIGNAL SIGINT\n"
        'SHELL ["/bin/bash", "-c"]\nHEALTHCHECK --interval=90s --retries=3 CMD x\nENTRYPOINT ["e"]\nCMD echo "a"\nRUN make\n'
    )
    found = made(text)
    assert [step.created_by for step in found.history] == [
        "ARG A=1",
        "ARG B",
        "ENV C=1",
        "LABEL k=v",
        "EXPOSE map[53/udp:{} 80/tcp:{}]",
        "VOLUME [/d /e]",
        "USER u",
        "STOPSIGNAL SIGINT",
        "SHELL [/bin/bash -c]",
        'HEALTHCHECK &{["CMD-SHELL" "x"] "1m30s" "0s" "0s" "0s" \'\\x03\'}',
        'ENTRYPOINT ["e"]',
        'CMD ["/bin/bash" "-c" "echo \\"a\\""]',
        "RUN |2 A=1 B= /bin/bash -c make # buildkit",
    ]
    assert found.config["Cmd"] == ["/bin/bash", "-c", 'echo "a"']
    assert found.config["Healthcheck"] == {"Test": ["CMD-SHELL", "x"], "Interval": 90 * 10**9, "Retries": 3}


def test_entrypoint_drops_the_cmd_of_the_base_but_not_its_own() -> None:
    base = {"Cmd": ["old"]}
    assert "Cmd" not in made('FROM busybox\nENTRYPOINT ["e"]\n', base).config
    assert made('FROM busybox\nCMD ["c"]\nENTRYPOINT ["e"]\n', base).config["Cmd"] == ["c"]


def test_onbuild_of_the_base_comes_first_and_is_not_passed_on() -> None:
    found = made("FROM busybox\nRUN own\n", {"OnBuild": ["RUN trigger", "ENV t=1"]})
    runs = [vertex for vertex in found.vertices if isinstance(vertex.op, graph.RunProcess)]
    assert [vertex.op.argv[-1] for vertex in runs if isinstance(vertex.op, graph.RunProcess)] == ["trigger", "own"]
    assert runs[0].name == "[2/3] ONBUILD RUN trigger"
    assert "OnBuild" not in found.config
    assert "t=1" in found.config["Env"]
    with pytest.raises(DockerfileError, match="not supported yet"):
        made("FROM busybox\n", {"OnBuild": ["RUN --mount=type=ssh true"]})


def test_proxies_reach_run_without_arg_and_count_for_nothing() -> None:
    found = made("FROM busybox\nRUN x\n", build_args={"HTTP_PROXY": "p", "other": "o"})
    op = found.vertices[1].op
    assert isinstance(op, graph.RunProcess)
    assert op.proxies == ("HTTP_PROXY=p", "http_proxy=p")
    assert not any("roxy" in entry for entry in op.env)
    assert found.warnings == ("[Warning] One or more build-args [other] were not consumed",)


def test_heredocs_of_run() -> None:
    def argv(text: str) -> Any:
        op = made(f"FROM busybox\n{text}").vertices[1].op
        assert isinstance(op, graph.RunProcess)
        return op

    assert argv("RUN <<EOF\na\nb\nEOF\n").argv == ("/bin/sh", "-c", "a\nb\n")
    script = argv("RUN <<EOF\n#!/usr/bin/env x\nb\nEOF\n")
    assert script.argv == ("/bin/sh", "-c", "/dev/pipes/EOF")
    assert script.script.data == "#!/usr/bin/env x\nb\n"
    assert argv("RUN cat <<EOF > /f\nx\nEOF\n").argv[-1] == "cat <<EOF > /f\nx\nEOF"


def test_inline_files_expand_unless_quoted() -> None:
    found = made("FROM scratch\nENV n=v\nCOPY <<A <<'B' /d/\n$n \"q\"\nA\n$n\nB\n")
    op = found.vertices[0].op
    assert isinstance(op, graph.CopyFiles)
    assert [source.data for source in op.sources if isinstance(source, graph.InlineSource)] == ['v "q"\n', "$n\n"]


@pytest.mark.parametrize(
    ("workdir", "dest", "want"),
    [("/w", "x", "/w/x"), ("/w", ".", "/w/"), ("/w", "x/", "/w/x/"), ("/w", "/", "/"), ("/w", "../../..", "/"), ("/w", "/a/.", "/a/.")],
)
def test_destinations(workdir: str, dest: str, want: str) -> None:
    op = made(f"FROM scratch\nWORKDIR {workdir}\nCOPY a {dest}\n").vertices[-1].op
    assert isinstance(op, graph.CopyFiles)
    assert op.dest == want
