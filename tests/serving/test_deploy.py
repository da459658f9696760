"""deploy/serving: what can be checked without Docker or a cluster, above all that the files agree with each other."""

import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from google.protobuf import text_format
from tensorflow_serving.config.model_server_config_pb2 import ModelConfig, ModelServerConfig

from charflow.export.server_configs import write_server_configs
from charflow.serving.layout import BATCHING, MODELS, MONITORING
from charflow.serving.protos.monitoring_config_pb2 import MonitoringConfig
from charflow.serving.protos.session_bundle_config_pb2 import BatchingParameters
from charflow.serving.settings.flag_parser import parse_flags
from tests.support import ROOT

DEPLOY = ROOT / "deploy" / "serving"
DASHBOARD = DEPLOY / "grafana" / "dashboards" / "charflow.json"
MANIFESTS = ["deployment", "hpa", "service", "storage"]

# Metrics and their labels: tensorflow_serving/servables/tensorflow/{util,saved_model_warmup_util}.cc and
# batching/batching_session.cc; the last two are of TensorFlow itself, cc/saved_model/loader.cc.
HISTOGRAMS = {
    ":tensorflow:serving:request_latency": {"model_name", "API", "entrypoint"},
    ":tensorflow:serving:runtime_latency": {"model_name", "API", "runtime"},
    ":tensorflow:serving:batching_session:queuing_latency": {"thread_pool_name"},
    ":tensorflow:serving:model_warmup_latency": {"model_path", "status"},
}
METRICS = {
    ":tensorflow:serving:request_count": {"model_name", "status"},
    ":tensorflow:cc:saved_model:load_attempt_count": {"model_path", "status"},
    ":tensorflow:cc:saved_model:load_latency": {"model_path"},
    **{f"{name}_bucket": labels | {"le"} for name, labels in HISTOGRAMS.items()},
    **{f"{name}_{part}": labels for name, labels in HISTOGRAMS.items() for part in ("sum", "count")},
}


def yaml_of(*parts: str) -> Any:
    yaml = pytest.importorskip("yaml", reason="install PyYAML to read the YAML files")
    return yaml.safe_load(DEPLOY.joinpath(*parts).read_text(encoding="utf-8"))


def manifest(name: str) -> Any:
    return yaml_of("kubernetes", f"{name}.yaml")


def container() -> Any:
    (only,) = manifest("deployment")["spec"]["template"]["spec"]["containers"]
    return only


def compose() -> Any:
    return yaml_of("docker-compose.yml")


def model() -> ModelConfig:
    (only,) = text_format.Parse((DEPLOY / MODELS).read_text(), ModelServerConfig()).model_config_list.config
    return only


def metrics_path() -> str:
    return text_format.Parse((DEPLOY / MONITORING).read_text(), MonitoringConfig()).prometheus_config.path


def flags_of(arguments: list[str]) -> dict[str, Any]:
    return parse_flags(arguments, prog="tensorflow_model_server", rest_api_port=0)


def queries() -> list[str]:
    return [target["expr"] for panel in json.loads(DASHBOARD.read_text())["panels"] for target in panel["targets"]]


def test_configs_are_the_protos_of_the_server() -> None:
    assert (model().name, model().model_platform) == ("charflow", "tensorflow")
    assert model().model_version_policy.latest.num_versions == 1
    batching = text_format.Parse((DEPLOY / BATCHING).read_text(), BatchingParameters())
    assert batching.allowed_batch_sizes[-1] == batching.max_execution_batch_size.value
    assert metrics_path() == "/monitoring/prometheus/metrics"


@pytest.mark.parametrize("name", [BATCHING, MONITORING])
def test_configs_are_those_of_the_export(tmp_path: Path, name: str) -> None:
    write_server_configs(tmp_path, {"charflow": tmp_path})
    assert (DEPLOY / name).read_text() == (tmp_path / name).read_text()


@pytest.mark.parametrize(
    "arguments",
    [lambda: compose()["services"]["serving"]["command"], lambda: container()["args"]],
    ids=["compose", "kubernetes"],
)
def test_flags_are_known_and_name_files_that_are_mounted(arguments: Callable[[], list[str]]) -> None:
    flags = flags_of(arguments())
    assert (flags["port"], flags["rest_api_port"], flags["enable_batching"]) == (8500, 8501, True)
    assert flags["allow_version_labels_for_unavailable_models"]
    for flag, name in (
        ("model_config_file", MODELS),
        ("batching_parameters_file", BATCHING),
        ("monitoring_config_file", MONITORING),
    ):
        assert PurePosixPath(flags[flag]) == PurePosixPath("/config") / name


def test_compose_serves_on_the_cpu_and_on_a_gpu() -> None:
    services = compose()["services"]
    cpu, gpu = services["serving"], services["serving-gpu"]
    assert "profiles" not in cpu
    assert gpu["profiles"] == ["gpu"]
    assert cpu["command"] == gpu["command"]
    assert "-gpu" in gpu["image"]
    (device,) = gpu["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}


def test_compose_mounts_what_the_configuration_names() -> None:
    mounts = {mount["target"]: mount for mount in compose()["services"]["serving"]["volumes"]}
    assert mounts[model().base_path]["source"].startswith("${CHARFLOW_MODEL:?")
    assert mounts["/config"]["source"] == "."  # a folder: a file that is replaced stays the old one in the container
    assert all(mount["read_only"] for mount in mounts.values())


def test_compose_publishes_every_port_to_this_machine_alone() -> None:
    ports = {name: service["ports"] for name, service in compose()["services"].items()}
    assert all(port.startswith("${CHARFLOW_BIND:-127.0.0.1}:") for published in ports.values() for port in published)
    numbers = {name: [port.split("}:")[1] for port in published] for name, published in ports.items()}
    assert numbers["serving"] == numbers["serving-gpu"] == ["8500:8500", "8501:8501"]


def test_images_are_pinned() -> None:
    images = [service["image"] for service in compose()["services"].values()] + [container()["image"]]
    tags = [re.sub(r"\$\{\w+:-(.*)\}", r"\1", image).rpartition(":")[2] for image in images]
    assert all(re.match(r"v?\d+\.\d+\.\d+", tag) for tag in tags), images


def test_one_version_serves_on_the_cpu_everywhere() -> None:
    tag = container()["image"].rpartition(":")[2]
    assert compose()["services"]["serving"]["image"] == f"tensorflow/serving:${{SERVING_TAG:-{tag}}}"
    assert yaml_of("kserve", "inference-service.yaml")["spec"]["predictor"]["model"]["runtimeVersion"] == tag


def test_compose_file_is_one_to_docker() -> None:
    docker = shutil.which("docker")
    if not docker or subprocess.run([docker, "compose", "version"], capture_output=True).returncode:
        pytest.skip("install Docker with its compose plugin to check the file")
    done = subprocess.run(
        [docker, "compose", "--profile", "*", "config", "--quiet"],
        cwd=DEPLOY,
        env={**os.environ, "CHARFLOW_MODEL": "/models"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture
def status_server() -> Iterator[Callable[[str], int]]:
    """Starts an HTTP server that answers every GET with a text; returns its port."""
    servers = []

    def start(body: str) -> int:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200 if self.path == f"/v1/models/{model().name}" else 404)
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: object) -> None: ...

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return server.server_port

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("body", "healthy"),
    [('{"model_version_status": [{"state": "AVAILABLE"}]}', True), ('{"state": "LOADING"}', False), (None, False)],
    ids=["available", "loading", "nobody"],
)
def test_health_check_finds_an_available_model(
    status_server: Callable[[str], int], body: str | None, healthy: bool
) -> None:
    port = status_server(body) if body else 1
    kind, *command = compose()["services"]["serving"]["healthcheck"]["test"]
    assert kind == "CMD"
    command = [part.replace("/8501", f"/{port}") for part in command]
    done = subprocess.run(command, capture_output=True, timeout=10)
    assert (done.returncode == 0) is healthy, done.stderr


def test_prometheus_reads_the_metrics_of_compose_servers() -> None:
    (job,) = yaml_of("prometheus.yml")["scrape_configs"]
    (found,) = job["dns_sd_configs"]
    services = compose()["services"]
    assert job["metrics_path"] == metrics_path()
    assert found["port"] == flags_of(services["serving"]["command"])["rest_api_port"]
    for name in ("serving", "serving-gpu"):
        assert found["names"] == services[name]["networks"]["default"]["aliases"]


def test_grafana_finds_prometheus_and_the_dashboard() -> None:
    services = compose()["services"]
    grafana = services["grafana"]
    mounts = dict(volume.split(":")[:2] for volume in grafana["volumes"])
    (source,) = yaml_of("grafana", "provisioning", "datasources", "prometheus.yml")["datasources"]
    (provider,) = yaml_of("grafana", "provisioning", "dashboards", "charflow.yml")["providers"]
    assert source["url"] == f"http://prometheus:{services['prometheus']['ports'][0].rpartition(':')[2]}"
    assert mounts["./grafana/provisioning"] == "/etc/grafana/provisioning"
    assert mounts["./grafana/dashboards"] == provider["options"]["path"]
    home = PurePosixPath(grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert home == PurePosixPath(provider["options"]["path"]) / DASHBOARD.name
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert {panel["datasource"]["uid"] for panel in panels} == {source["uid"]}


def test_dashboard_asks_for_metrics_that_the_server_has() -> None:
    names = [name for query in queries() for name in re.findall(r":tensorflow:[\w:]+", query)]
    assert set(names) <= set(METRICS)
    shown = {name for name in HISTOGRAMS if any(used.startswith(name) for used in names)}
    assert shown == set(HISTOGRAMS)


def test_dashboard_asks_for_labels_that_the_metrics_have() -> None:
    for query in queries():
        labels = set.intersection(*(METRICS[name] for name in re.findall(r":tensorflow:[\w:]+", query)))
        grouped = {label.strip() for group in re.findall(r"by \(([^)]*)\)", query) for label in group.split(",")}
        selected = {label for group in re.findall(r"\{([^}]*)\}", query) for label in re.findall(r"(\w+)[!=]", group)}
        assert grouped | selected <= labels, query
        assert query.count("(") == query.count(")")


def test_dashboard_shows_rates_percentiles_queue_and_loads() -> None:
    text = "\n".join(queries())
    for needed in (
        "sum by (status) (rate(",
        "histogram_quantile(0.5,",
        "histogram_quantile(0.99,",
        "load_attempt_count",
    ):
        assert needed in text


def test_dashboard_panels_do_not_overlap() -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


def test_deployment_selects_its_own_pods() -> None:
    spec = manifest("deployment")["spec"]
    labels = spec["template"]["metadata"]["labels"]
    assert spec["selector"]["matchLabels"].items() <= labels.items()
    assert manifest("service")["spec"]["selector"].items() <= labels.items()


def test_service_and_probes_use_the_ports_of_the_container() -> None:
    ports = {port["name"]: port["containerPort"] for port in container()["ports"]}
    flags = flags_of(container()["args"])
    assert ports == {"grpc": flags["port"], "rest": flags["rest_api_port"]}
    assert {port["targetPort"]: port["port"] for port in manifest("service")["spec"]["ports"]} == ports
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container()[probe]["httpGet"] == {"path": f"/v1/models/{model().name}", "port": "rest"}
    annotations = manifest("deployment")["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == str(ports["rest"])
    assert annotations["prometheus.io/path"] == metrics_path()


def test_deployment_mounts_the_claim_and_the_configuration() -> None:
    pod = manifest("deployment")["spec"]["template"]["spec"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    mounts = {mount["mountPath"]: mount for mount in container()["volumeMounts"]}
    assert set(mounts) == {model().base_path, "/config"}
    assert all(mount["readOnly"] for mount in mounts.values())
    claim = volumes[mounts[model().base_path]["name"]]["persistentVolumeClaim"]["claimName"]
    assert claim == manifest("storage")["metadata"]["name"]
    (generated,) = yaml_of("kustomization.yaml")["configMapGenerator"]
    assert volumes[mounts["/config"]["name"]]["configMap"]["name"] == generated["name"]
    assert generated["files"] == [MODELS, BATCHING, MONITORING]


def test_autoscaler_decides_how_many_pods_there_are() -> None:
    deployment, target = manifest("deployment"), manifest("hpa")["spec"]["scaleTargetRef"]
    assert target == {"apiVersion": "apps/v1", "kind": "Deployment", "name": deployment["metadata"]["name"]}
    assert "replicas" not in deployment["spec"]
    assert "cpu" in container()["resources"]["requests"]  # what the utilisation is a share of


def test_kserve_reads_the_same_volume() -> None:
    served = yaml_of("kserve", "inference-service.yaml")["spec"]["predictor"]["model"]
    folder = next(mount["subPath"] for mount in container()["volumeMounts"] if "subPath" in mount)
    assert served["storageUri"] == f"pvc://{manifest('storage')['metadata']['name']}/{folder}"
    flags = flags_of(served["args"])
    assert PurePosixPath(flags["batching_parameters_file"]) == PurePosixPath("/mnt/models") / BATCHING
    assert PurePosixPath(flags["monitoring_config_file"]) == PurePosixPath("/mnt/models") / MONITORING


@pytest.mark.parametrize("name", MANIFESTS)
def test_manifest_fits_the_schema_of_kubernetes(name: str) -> None:
    schemas = pytest.importorskip("kubernetes_validate", reason="install kubernetes-validate to check them")
    schemas.validate(manifest(name), "1.33", strict=True)


def test_kustomization_makes_everything(tmp_path: Path) -> None:
    kubectl = shutil.which("kubectl")
    if not kubectl:
        pytest.skip("install kubectl to render the manifests")
    alone = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "KUBECONFIG": os.devnull}
    done = subprocess.run([kubectl, "kustomize", str(DEPLOY)], capture_output=True, text=True, env=alone)
    assert done.returncode == 0, done.stderr
    kinds = sorted(re.findall(r"^kind: (\w+)", done.stdout, re.MULTILINE))
    assert kinds == ["ConfigMap", "Deployment", "HorizontalPodAutoscaler", "PersistentVolumeClaim", "Service"]
    hashed = set(re.findall(r"name: (charflow-config\S*)", done.stdout))
    assert len(hashed) == 1
    assert re.fullmatch(r"charflow-config-\w+", hashed.pop())


def test_readme_names_every_file() -> None:
    readme = (DEPLOY / "README.md").read_text()
    for path in DEPLOY.iterdir():
        assert f"`{path.name}{'/' if path.is_dir() else ''}" in readme or path.name == "README.md", path
