"""The manifests keep the schemas of Kubernetes, fit together, and start a server that answers their probes."""

import os
import ssl
import subprocess
import sys
import urllib.request
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from kernels.building import ROOT
from tools.redis_server import redis_server
from tools.serving import alone, certificate, opened_door, signal, small_plan

pytest.importorskip("kubernetes_validate")
pytest.importorskip("picows")
pytest.importorskip("uvicorn")
pytest.importorskip("websockets")
import kubernetes_validate
import yaml
from tidegate.client import Stream

FOLDER = ROOT / "examples/kubernetes"
VERSIONS = ("1.30", "1.37")  # the first with sleep before a stop, and the newest that the schemas have
FORBIDDEN = ("privileged", "hostNetwork", "hostPID", "hostIPC", "hostPath")


@cache
def resources() -> list[dict[str, Any]]:
    files = sorted(FOLDER.glob("*.yaml"))
    return [found for path in files for found in yaml.safe_load_all(path.read_text())]


def of(kind: str, name: str) -> dict[str, Any]:
    (found,) = (one for one in resources() if (one["kind"], one["metadata"]["name"]) == (kind, name))
    return found


WORKLOADS = (("Deployment", "tidegate"), ("StatefulSet", "tidegate-redis"))


@pytest.mark.parametrize("version", VERSIONS)
def test_each_resource_keeps_the_schema_of_its_kind_without_fields_that_are_unknown(version: str) -> None:
    kinds = [kubernetes_validate.validate(one, version, strict=True) and one["kind"] for one in resources()]
    wanted = {"Deployment", "StatefulSet", "Service", "PodDisruptionBudget", "NetworkPolicy", "Secret"}
    assert set(kinds) == wanted


def test_the_linter_finds_a_wrong_type_and_a_field_that_is_unknown() -> None:
    broken = of("Deployment", "tidegate") | {"spec": of("Deployment", "tidegate")["spec"] | {"replicas": "three"}}
    with pytest.raises(kubernetes_validate.ValidationError, match="'three' is not of type"):
        kubernetes_validate.validate(broken, VERSIONS[0], strict=True)
    with pytest.raises(kubernetes_validate.ValidationError, match="'colour' was unexpected"):
        kubernetes_validate.validate(of("Service", "tidegate") | {"colour": "red"}, VERSIONS[0], strict=True)


@pytest.mark.parametrize(("kind", "name"), WORKLOADS)
def test_each_selector_finds_its_pods_and_each_port_is_there(kind: str, name: str) -> None:
    pod = of(kind, name)["spec"]["template"]
    labels, (container,) = pod["metadata"]["labels"], pod["spec"]["containers"]
    assert of(kind, name)["spec"]["selector"]["matchLabels"] == labels
    assert of("Service", name)["spec"]["selector"] == labels
    assert of("NetworkPolicy", name)["spec"]["podSelector"]["matchLabels"] == labels
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    for port in of("Service", name)["spec"]["ports"]:
        assert ports[port["targetPort"]] == port["port"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        for call in ("httpGet", "tcpSocket"):
            found = container.get(probe, {}).get(call)
            assert found is None or found["port"] in ports


@pytest.mark.parametrize(("kind", "name"), WORKLOADS)
def test_each_container_is_bounded_and_may_do_nothing_that_it_does_not_need(kind: str, name: str) -> None:
    spec = of(kind, name)["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    held = container["securityContext"]
    assert held["capabilities"] == {"drop": ["ALL"]}
    assert held["readOnlyRootFilesystem"]
    assert not held["allowPrivilegeEscalation"]
    assert container["resources"].keys() == {"requests", "limits"}
    assert container["resources"]["limits"].keys() == {"cpu", "memory"}
    assert not [word for word in FORBIDDEN if word in yaml.safe_dump(spec)]


def test_row_239_a_stop_has_time_to_drain_and_each_secret_that_is_named_is_written() -> None:
    secrets = {one["metadata"]["name"]: one["stringData"].keys() for one in resources() if one["kind"] == "Secret"}
    named = set()
    for kind, name in WORKLOADS:
        spec = of(kind, name)["spec"]["template"]["spec"]
        for variable in spec["containers"][0]["env"]:
            if "valueFrom" in variable:
                key = variable["valueFrom"]["secretKeyRef"]
                assert key["key"] in secrets[key["name"]]
                named.add(key["name"])
        named |= {volume["secret"]["secretName"] for volume in spec.get("volumes", ())}
    assert named == secrets.keys()
    deployment = of("Deployment", "tidegate")["spec"]
    spec = deployment["template"]["spec"]
    asleep = spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert spec["terminationGracePeriodSeconds"] > asleep + 10
    assert of("PodDisruptionBudget", "tidegate")["spec"]["maxUnavailable"] < deployment["replicas"]


@pytest.mark.slow
def test_the_command_of_the_manifest_starts_a_server_that_answers_its_probes(tmp_path: Path) -> None:
    """The container's own arguments, with its mounts in a folder, its ports any, and its store a Redis of the test."""
    (container,) = of("Deployment", "tidegate")["spec"]["template"]["spec"]["containers"]
    for folder in ("models", "access", "tls"):
        (tmp_path / folder).mkdir()
    (tmp_path / "models/watch.tide").write_bytes(small_plan())
    (tmp_path / "access/tokens.txt").write_text(of("Secret", "tidegate-tokens")["stringData"]["tokens.txt"])
    made, key = certificate(tmp_path)
    made.rename(tmp_path / "tls/tls.crt")
    key.rename(tmp_path / "tls/tls.key")
    arguments = [word.replace("=/", f"={tmp_path}/").replace(":800", ":0#") for word in container["args"]]
    arguments = [str(tmp_path) + word if word.startswith("/") else word.partition("#")[0] for word in arguments]
    trusted = ssl.create_default_context(cafile=tmp_path / "tls/tls.crt")
    with redis_server(tmp_path) as (_, url):
        command = [sys.executable, "-m", *container["command"], *arguments]
        known = os.environ | {"TIDEGATE_STORE": url}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=known) as process:
            try:
                ports = dict(opened_door(process) for _ in container["ports"])
                assert ports.keys() == {port["name"] for port in container["ports"]}
                for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                    where = container[probe]["httpGet"]
                    assert where["scheme"] == "HTTPS"
                    address = f"https://127.0.0.1:{ports[where['port']]}{where['path']}"
                    with urllib.request.urlopen(address, context=trusted) as page:
                        assert page.status == 200
                address = f"wss://127.0.0.1:{ports['ws']}/watch"
                with Stream(address, token="CHANGE-1111111111111111", tls=trusted) as stream:  # noqa: S106  no secret
                    assert stream.push(signal(10)).tobytes() == alone(signal(10))
                process.terminate()
                assert process.wait(60) == 0
            finally:
                process.kill()
