"""The pytest plugin, used as a project of somebody's would: only trio-sip is installed, and nothing is configured."""

from __future__ import annotations

import re
import sys

import pytest

pytest_plugins = ["pytester"]

ROUTES = """
import trio
from trio_sip import Router

router = Router()

@router.request_route("OPTIONS")
async def options(request):
    request.reply(200)

@router.request_route("REGISTER")
async def register(request):
    await trio.sleep(float(request.headers.get("X-Sleep", "0")))
    request.reply(200)

@router.request_route
async def request_route(request):
    await request.forward("sip:bob@10.0.0.3")
"""
OPTIONS = """
    alice = user_agent("alice")
    await alice.send("OPTIONS", "sip:10.0.0.1")
    await alice.expect(200)
"""
OURS = ("Traceback", "Exception Group", "pytest_plugin.py", "simulated_run.py", "pytest_trio")


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A directory with a routes file and a configuration that names it."""
    monkeypatch.setenv("COLUMNS", "100")
    pytester.makefile(".py", routes=ROUTES)
    pytester.makeini("[pytest]\nsip_routes = routes.py\nfilterwarnings = error\naddopts = --strict-markers")
    return pytester


def run(project: pytest.Pytester, test: str, *options: str) -> pytest.RunResult:
    project.makepyfile("import pytest\nimport trio\nfrom trio_sip import Router\n\n" + test)
    return project.runpytest_inprocess("-p", "no:cacheprovider", *options)


def passes(project: pytest.Pytester, test: str, *options: str, tests: int = 1) -> str:
    result = run(project, test, *options)
    result.assert_outcomes(passed=tests)
    return str(result.stdout)


def fails(project: pytest.Pytester, test: str, *options: str) -> str:
    """What is printed: it names none of our files, and has no group of exceptions."""
    result = run(project, test, *options)
    assert {name: count for name, count in result.parseoutcomes().items() if count} == {"failed": 1}
    text = str(result.stdout)
    assert not [word for word in OURS if word in text], text
    return text


def refused(project: pytest.Pytester, test: str) -> str:
    """The one line a test that cannot be set up ends with."""
    result = run(project, test)
    result.assert_outcomes(errors=1)
    text = str(result.stdout)
    assert not [word for word in (*OURS, "During handling", "direct cause") if word in text], text
    [line] = re.findall(r"^_+ ERROR at setup of .*_\n(.*)\n=+ short", text, re.MULTILINE)
    return str(line)


# That it works


def test_a_test_needs_no_configuration_but_the_routes(project: pytest.Pytester) -> None:
    passes(project, "async def test_it(sip_server, user_agent):" + OPTIONS)


def test_fixtures_that_lean_on_those_of_the_plugin(project: pytest.Pytester) -> None:
    passes(
        project,
        """
@pytest.fixture
def alice(user_agent):
    return user_agent("alice")

@pytest.fixture
async def called(alice, sip_server):
    await alice.send("OPTIONS", "sip:10.0.0.1")
    yield await alice.expect(200)
    await trio.sleep(1)

class TestIt:
    async def test_it(self, called):
        assert called.status == 200
""",
    )


def test_with_trio_mode(project: pytest.Pytester) -> None:
    test = f"async def test_it(sip_server, user_agent):{OPTIONS}\nasync def test_other():\n    await trio.sleep(0)\n"
    passes(project, test, "-o", "trio_mode=true", tests=2)


def test_time_is_virtual_unless_the_test_brings_a_clock(project: pytest.Pytester) -> None:
    passes(
        project,
        """
async def test_virtual(sip_server):
    await trio.sleep(1000)
    assert trio.current_time() == 1000

async def test_own(sip_server, mock_clock):
    assert trio.lowlevel.current_clock() is mock_clock
    mock_clock.jump(5)
    assert trio.current_time() == 5
    mock_clock.autojump_threshold = 0  # for what is to be done when the test has ended
""",
        tests=2,
    )


def test_the_order_of_fixtures_in_the_arguments_does_not_matter(project: pytest.Pytester) -> None:
    passes(project, "async def test_it(user_agent, nursery, sip_network, sip_serve, sip_server):" + OPTIONS)


def test_skip_and_xfail_within_a_test(project: pytest.Pytester) -> None:
    test = (
        "async def test_a(sip_server):\n    pytest.skip('no')\nasync def test_b(sip_server):\n    pytest.xfail('no')\n"
    )
    run(project, test).assert_outcomes(skipped=1, xfailed=1)


@pytest.mark.parametrize(
    "mark",
    ["'routes.py'", "'routes.py:router'", "'other/routes.py'", "'routes'", "3", "__import__('routes').router"],
)
def test_ways_to_name_the_routes(project: pytest.Pytester, mark: str) -> None:
    (project.path / "other").mkdir()
    (project.path / "other" / "routes.py").write_text(ROUTES)
    test = "async def test_it(sip_server, user_agent):" + OPTIONS
    marked = f"@pytest.mark.sip_routes({mark})\n{test}"
    project.syspathinsert()
    if mark == "3":
        assert refused(project, marked) == "test_it: @pytest.mark.sip_routes takes a routes file or a Router, not 3"
    else:
        passes(project, marked, "-o", "sip_routes=")


def test_a_file_beside_the_test_goes_before_that_of_the_root(project: pytest.Pytester) -> None:
    beside = project.mkdir("tests")
    (beside / "routes.py").write_text(ROUTES.replace("reply(200)", "reply(486)"))
    test = "import pytest\n{}async def test_it(sip_server, user_agent):\n    alice = user_agent('alice')\n"
    test += "    await alice.send('OPTIONS', 'sip:10.0.0.1')\n    await alice.expect({})\n"
    (beside / "test_one.py").write_text(test.format("@pytest.mark.sip_routes('routes.py')\n", 486))
    (beside / "test_two.py").write_text(test.format("", 200))  # that of the configuration: from the root first
    project.runpytest_inprocess("-p", "no:cacheprovider").assert_outcomes(passed=2)


def test_routes_are_executed_anew_for_each_test(project: pytest.Pytester) -> None:
    (project.path / "routes.py").write_text(ROUTES + "\nseen = []\nrouter.seen = seen\n")
    test = """
@pytest.mark.parametrize("n", [1, 2])
async def test_it(sip_server, n):
    import sys
    seen = sys.modules["_routes_routes"].seen
    assert seen == []
    seen.append(n)
"""
    passes(project, test, tests=2)


def test_servers_of_a_tests_own(project: pytest.Pytester) -> None:
    passes(
        project,
        """
async def test_it(sip_serve, sip_network, user_agent):
    first = await sip_serve("routes.py")
    second = await sip_serve("routes.py", listen=["udp:10.0.9.1:5070"])
    assert [str(each) for each in first.listeners] == ["udp:10.0.0.1:5060", "tcp:10.0.0.1:5060"]
    assert str(second.listeners[0]) == "udp:10.0.9.1:5070"
    user_agent("alice")
    assert sip_network.names == {"10.0.0.1": "router", "10.0.9.1": "router 2", "10.0.0.2": "alice"}
""",
    )


def test_conditions_of_the_network(project: pytest.Pytester) -> None:
    passes(
        project,
        """
@pytest.mark.sip_network(latency=0.5)
async def test_it(sip_server, user_agent):"""
        + OPTIONS
        + "    assert trio.current_time() == 1.0\n",
    )


# Seeds


def test_the_seed(project: pytest.Pytester) -> None:
    test = """
async def test_it(sip_network):
    assert sip_network.seed == {}

@pytest.mark.sip_network(seed=3)
async def test_pinned(sip_network):
    assert sip_network.seed == 3
"""
    passes(project, test.format(1), tests=2)
    passes(project, test.format(7), "--sip-seed", "7", tests=2)


def test_a_seed_that_is_no_number(project: pytest.Pytester) -> None:
    result = project.runpytest_inprocess("--sip-seed", "many")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "argument --sip-seed: takes a whole number, as in --sip-seed 7, not 'many'" in str(result.stderr)


def test_one_seed_is_one_run_whatever_went_before(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """In another process, after other tests, and with a fixture that takes as many steps as it pleases."""
    project.makepyfile(
        """
import hashlib
import random
import pytest
import trio

@pytest.fixture
async def unsteady():
    async def steps():
        for _ in range(random.SystemRandom().randrange(20)):
            await trio.sleep(0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(steps)
        nursery.start_soon(steps)

@pytest.mark.parametrize("n", range(8))
@pytest.mark.sip_network(loss=0.2, jitter=0.05, duplication=0.1)
async def test_it(n, unsteady, sip_server, user_agent, sip_network, capsys):
    async def call(name):
        agent = user_agent(name)
        for number in range(10):
            await agent.send("OPTIONS", "sip:10.0.0.1")
            await agent.send("REGISTER", "sip:10.0.0.1", headers=[("X-Sleep", "0.01")])
            await trio.sleep(0.01)
    async with trio.open_nursery() as callers:
        for n in range(4):
            callers.start_soon(call, f"agent{n}")
    await trio.sleep(1)
    with capsys.disabled():
        print("trace", hashlib.sha256(repr(sip_network.trace).encode()).hexdigest())
"""
    )

    def traces(seed: int, hash_seed: int) -> set[str]:
        monkeypatch.setenv("PYTHONHASHSEED", str(hash_seed))
        result = project.runpytest_subprocess("-p", "no:cacheprovider", "--sip-seed", str(seed))
        result.assert_outcomes(passed=8)
        return {line.split()[-1] for line in result.outlines if "trace " in line}

    assert len(traces(1, 0) | traces(1, 1)) == 1
    assert traces(1, 0) != traces(2, 0)


# What is printed


def test_a_failing_test_prints_its_diagram_and_how_to_see_it_again(project: pytest.Pytester) -> None:
    test = """
@pytest.mark.parametrize("x", ["a b"])
async def test_it(sip_server, user_agent, x):
    alice, bob = user_agent("alice"), user_agent("bob")
    await alice.send("INVITE", "sip:bob@10.0.0.1")
    await bob.expect("INVITE")
    assert 1 == 2
"""
    text = fails(project, test, "--sip-seed", "7")
    assert "E       assert 1 == 2" in text
    assert "- SIP messages, seed 7 -" in text
    names = next(line for line in text.splitlines() if line.startswith("   sent   there"))
    assert names.split()[2:] == ["alice", "router", "bob"]
    assert text.count("INVITE bob") == 2
    assert "  0.020 ── the test ended" in text
    file = "test_a_failing_test_prints_its_diagram_and_how_to_see_it_again.py"
    assert f"The same run again: pytest --sip-seed 7 '{file}::test_it[a b]'\n" in text


def test_a_pinned_seed_needs_no_option_to_see_the_run_again(project: pytest.Pytester) -> None:
    text = fails(project, "@pytest.mark.sip_network(seed=5)\nasync def test_it(sip_server):\n    assert 0\n")
    assert "seed 5" in text
    assert "The same run again: pytest test_" in text
    assert "(nothing was sent)" in text


def test_a_passing_test_prints_it_when_asked_to(project: pytest.Pytester) -> None:
    test = "async def test_it(sip_server, user_agent):" + OPTIONS
    assert "OPTIONS 10.0.0.1" not in passes(project, test)
    text = passes(project, test, "--sip-ladder")
    assert "200 OK (OPTIONS)" in text
    assert "pytest --sip-seed 1 test_" in text


def test_an_error_within_a_nursery_is_shown_plainly(project: pytest.Pytester) -> None:
    test = """
async def test_it(sip_server):
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep_forever)
        assert "one" == "two"
"""
    assert "E           AssertionError: assert 'one' == 'two'" in fails(project, test)


def test_two_errors_stay_a_group(project: pytest.Pytester) -> None:
    test = """
async def boom(text):
    raise ValueError(text)

async def test_it(sip_server):
    async with trio.open_nursery() as nursery:
        nursery.start_soon(boom, "one")
        nursery.start_soon(boom, "two")
"""
    result = run(project, test)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines_random(["*ValueError: one", "*ValueError: two"])


def test_a_server_that_crashes_fails_the_test(project: pytest.Pytester) -> None:
    test = """
async def test_it(sip_server, user_agent, monkeypatch):
    def boom(*args):
        raise RuntimeError("a bug")
    monkeypatch.setattr("trio_sip.workers.reception.Reception._take", boom)
    await user_agent("alice").send("OPTIONS", "sip:10.0.0.1")
    await trio.sleep(1000)
"""
    text = fails(project, test)
    assert "E       RuntimeError: a bug" in text
    assert "E       The server crashed with this at 0.010: <Server udp:10.0.0.1:5060" in text
    assert "OPTIONS 10.0.0.1" in text


def test_a_test_that_waits_for_what_never_comes(project: pytest.Pytester) -> None:
    text = fails(project, "async def test_it(sip_server):\n    await trio.sleep_forever()\n")
    assert "the test had not ended after 3600 virtual seconds; it waited at test_a_test" in text
    assert ".py:6: await trio.sleep_forever()" in text


def test_errors_of_sip_serve_are_those_of_the_test(project: pytest.Pytester) -> None:
    (project.path / "bad.py").write_text("router = 1 / 0\n")
    text = fails(project, "async def test_it(sip_serve):\n    await sip_serve('bad.py')\n")
    assert "bad.py:1: ZeroDivisionError: division by zero" in text
    text = fails(project, "async def test_it(sip_server, sip_serve):\n    await sip_serve('routes.py')\n")
    assert "ListenError: cannot listen on udp:10.0.0.1:5060: address already in use" in text


# What is left over


def test_what_ends_by_itself_may_be_left_behind(project: pytest.Pytester) -> None:
    passes(
        project,
        """
async def test_it(sip_server, user_agent):
    alice, bob = user_agent("alice", transport="tcp"), user_agent("bob")
    await alice.send("REGISTER", "sip:10.0.0.1", headers=[("X-Sleep", "100")])
    call = await alice.call("sip:bob@10.0.0.1")
    await bob.ring(call)
    await bob.send("OPTIONS", "sip:10.0.0.1")
""",
    )


def test_what_does_not_fails_the_test(project: pytest.Pytester) -> None:
    test = """
async def test_it(sip_server, user_agent):
    await user_agent("alice").send("REGISTER", "sip:10.0.0.1", headers=[("X-Sleep", "1000")])
"""
    text = fails(project, test)
    assert "the test itself passed, but 240 virtual seconds after its end <Server udp:10.0.0.1:5060" in text
    assert "  - REGISTER from 10.0.0.2:5060, Call-ID " in text
    assert "in a worker of group 'default': register (routes.py:" in text
    assert "  0.000 ── the test ended" in text
    assert "503" not in text  # what became of it when it was cut off
    assert "was cancelled" not in text


def test_a_test_that_failed_is_not_looked_at_and_its_end_is_not_told(project: pytest.Pytester) -> None:
    test = """
async def test_it(sip_server, user_agent):
    await user_agent("alice").send("REGISTER", "sip:10.0.0.1", headers=[("X-Sleep", "1000")])
    await trio.sleep(1)
    assert 0
"""
    text = fails(project, test)
    assert "503" not in text
    assert "was cancelled" not in text
    assert "  1.000 ── the test ended\n" in text


# What is refused


@pytest.mark.parametrize(
    ("test", "text"),
    [
        (
            "def test_it(sip_server): pass",
            "test_it uses sip_server and is a plain function; make it 'async def test_it(...)'",
        ),
        (
            "@pytest.mark.sip_routes('nowhere.py')\nasync def test_it(sip_server): pass",
            "there is no routes file 'nowhere.py' in {path}. Name it above the test, @pytest.mark.sip_routes",
        ),
        (
            "@pytest.mark.sip_routes('bad.py')\nasync def test_it(sip_server): pass",
            "{path}/bad.py:2: NameError: name 'Ruter' is not defined",
        ),
        (
            "@pytest.mark.sip_routes('a.py', 'b.py')\nasync def test_it(sip_server): pass",
            "test_it: @pytest.mark.sip_routes takes one routes file, as in sip_routes('routes.py')",
        ),
        (
            "@pytest.mark.sip_network(latncy=1)\nasync def test_it(sip_server): pass",
            "test_it: @pytest.mark.sip_network knows no latncy; it takes seed, latency, jitter, loss,",
        ),
        (
            "@pytest.mark.sip_network(0.5)\nasync def test_it(sip_server): pass",
            "test_it: @pytest.mark.sip_network knows no 0.5; it takes seed, latency, jitter, loss,",
        ),
        (
            "@pytest.mark.sip_network(loss=3)\nasync def test_it(sip_server): pass",
            "test_it: @pytest.mark.sip_network: loss is a probability from 0 to 1, not 3",
        ),
        (
            "from hypothesis import given, strategies\n@given(x=strategies.integers())\n"
            "async def test_it(sip_network, x): pass",
            "test_it uses sip_network under @given, which calls it many times, and there is one network for each",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_line(project: pytest.Pytester, test: str, text: str) -> None:
    (project.path / "bad.py").write_text("from trio_sip import Router\nrouter = Ruter()\n")
    assert refused(project, test).startswith(text.format(path=project.path))


def test_no_routes_at_all(pytester: pytest.Pytester) -> None:
    assert refused(pytester, "async def test_it(sip_server): pass") == (
        "test_it: sip_server does not know which routes file to serve. Name it above the test,"
        " @pytest.mark.sip_routes('routes.py'), or for all tests in pytest's configuration: sip_routes = routes.py"
    )


# Projects that do not use it


def test_it_imports_nothing_before_it_is_used(pytester: pytest.Pytester) -> None:
    code = "import sys, pytest_trio_sip; print({'trio', 'attrs', 'trio_sip'} & set(sys.modules))"
    assert pytester.run(sys.executable, "-c", code).outlines == ["set()"]
    pytester.makepyfile("import sys\ndef test_it():\n    assert 'trio_sip' not in sys.modules\n")
    pytester.runpytest_subprocess("-W", "error", "--strict-markers").assert_outcomes(passed=1)


def test_without_pytest_trio(project: pytest.Pytester) -> None:
    passes(project, "def test_it(): pass", "-p", "no:trio")
    result = run(project, "async def test_it(sip_server): pass", "-p", "no:trio")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["sip_server: pytest-trio is needed to run the test, and it is switched off or not*"])


def test_with_xdist(project: pytest.Pytester) -> None:
    pytest.importorskip("xdist")
    project.makepyfile("async def test_it(sip_server, user_agent):" + OPTIONS + "    assert sip_server is None\n")
    result = project.runpytest_subprocess("-n", "1", "--sip-seed", "4", "-p", "no:cacheprovider")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*SIP messages, seed 4*", "*OPTIONS 10.0.0.1*"])
