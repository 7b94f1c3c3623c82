"""What Deploy holds, checked without a container engine: Prometheus's own tool, schemas, and names that must exist."""
import json
import os
import re
import shutil
import subprocess

import yaml

import common
import page_blocks

DEPLOY = os.path.join(common.ROOT, "Deploy")
PAGE = os.path.join(common.ROOT, "Sources", "WeirCommands", "Weir.docc", "Operations.md")
RULES = os.path.join(DEPLOY, "Prometheus", "rules.yaml")
UNIT_TESTS = os.path.join(common.ROOT, "Tests", "EndToEnd", "Fixtures", "rules_test.yaml")
PROMTOOL = os.path.join(common.ROOT, ".build", "tools", "promtool")      # Scripts/setup puts it there
# Suffixes that a histogram's samples have.
PARTS = ("_bucket", "_sum", "_count")


def read(*parts):
    with open(os.path.join(DEPLOY, *parts)) as f:
        return f.read()


def promtool(suite, *arguments, stdin=None):
    tool = PROMTOOL if os.path.exists(PROMTOOL) else shutil.which("promtool")
    if not tool:
        return ["there is no promtool: run Scripts/setup --tests"]
    run = subprocess.run([tool, *arguments], input=stdin, capture_output=True, text=True)
    # `check metrics` ends with 0 or 3 where it has something to say about style.
    return [line for line in (run.stdout + run.stderr).split("\n") if line] if run.returncode or (stdin and run.stdout) else []


def rules(suite):
    faults = promtool(suite, "check", "rules", RULES)
    # Its rule_files are where the container has them.
    faults += promtool(suite, "check", "config", "--syntax-only", os.path.join(DEPLOY, "Prometheus", "prometheus.yml"))
    # Our promtool is built without the discovery of Kubernetes: the rest of the file is checked.
    config = yaml.safe_load(read("Prometheus", "kubernetes.yml"))
    for job in config["scrape_configs"]:
        del job["kubernetes_sd_configs"]
    path = suite.path("kubernetes.yml")
    with open(path, "w") as f:
        yaml.safe_dump(config, f)
    return faults + promtool(suite, "check", "config", "--syntax-only", path)


def alerts():
    """{name: rule}"""
    return {rule["alert"]: rule for group in yaml.safe_load(read("Prometheus", "rules.yaml"))["groups"] for rule in group["rules"]}


def unit_tests(suite):
    """The unit tests of the rules pass; they show when each alert fires and when not, and fail for each one without its waiting time."""
    def run(name, spec):
        path = suite.path(name)
        os.makedirs(path, exist_ok=True)
        with open(UNIT_TESTS) as f:
            tests = yaml.safe_load(f)
        tests["rule_files"] = ["rules.yaml"]
        for file, text in (("rules.yaml", spec), ("test.yaml", tests)):
            with open(os.path.join(path, file), "w") as f:
                yaml.safe_dump(text, f)
        return promtool(suite, "test", "rules", os.path.join(path, "test.yaml"))

    def changed(**members):
        spec = yaml.safe_load(read("Prometheus", "rules.yaml"))
        for rule in (rule for group in spec["groups"] for rule in group["rules"]):
            rule.update({name: value for name, value in members.items() if name in rule})
        return spec

    faults = run("rules", changed())
    with open(UNIT_TESTS) as f:
        cases = [case for test in yaml.safe_load(f)["tests"] for case in test["alert_rule_test"]]
    for what, fires in (("fires", True), ("does not fire", False)):
        faults += [f"no unit test shows when {alert} {what}" for alert in sorted(set(alerts()) - {c["alertname"] for c in cases if bool(c["exp_alerts"]) == fires})]
    early = set(re.findall(r"alertname: (\w+)", "\n".join(run("early", changed(**{"for": "0s"})))))
    faults += [f"{alert}: no unit test fails if it fires at once" for alert, rule in alerts().items() if "for" in rule and alert not in early]
    return faults


def resolved(url):
    """A fault if the address leads to no heading of a page of the project; None otherwise."""
    path, _, anchor = url.partition("#")
    file = os.path.join(common.ROOT, re.sub(r"^https://[^/]+/[^/]+/blob/[^/]+/", "", path))
    if "://" in file or not os.path.isfile(file):
        return f"{url}: there is no such page"
    with open(file) as f:
        return None if anchor in page_blocks.anchors(page_blocks.split(f.read())[1]) | {""} else f"{url}: the page has no such heading"


def runbooks():
    """Each alert has a runbook of its own, and each link of rules and dashboard leads to one."""
    dashboard = json.loads(read("Grafana", "weir.json"))
    base = next(v["query"] for v in dashboard["templating"]["list"] if v["name"] == "runbooks")
    urls = {name: rule["annotations"].get("runbook_url", "") for name, rule in alerts().items()}
    faults = [f"{name}: {url} is not {base}#{name.lower()}" for name, url in urls.items() if url != f"{base}#{name.lower()}"]
    links = {link["url"].replace("${runbooks}", base) for part in [dashboard, *dashboard["panels"]] for link in part.get("links", [])}
    faults += filter(None, map(resolved, sorted({*urls.values(), *links})))
    faults += [f"no panel links to the runbook of {name}" for name, url in urls.items() if url not in links]
    with open(os.path.join(os.path.dirname(PAGE), "Runbooks.md")) as f:
        headings = {line[3:].strip() for line in f if line.startswith("## Weir")}
    return faults + [f"Runbooks.md has {name}, and no rule has" for name in sorted(headings - set(urls))]


def panels():
    return [p for p in json.loads(read("Grafana", "weir.json"))["panels"] if p["type"] != "row"]


def dashboard(suite):
    """Its queries are valid, filter by the variables and show at most ten lanes, tables or workers; its thresholds are those of the rules."""
    found = json.loads(read("Grafana", "weir.json"))
    variables = {v["name"] for v in found["templating"]["list"]}
    faults = [f"there is no variable {name}" for name in {"datasource", "pipeline", "worker", "runbooks"} - variables]
    faults += [f"${name} is not a variable" for name in set(re.findall(r"\$\{?(\w+)", json.dumps(found))) - variables - {"__rate_interval", "__range", "__all"}]
    rules, thresholds = [], 0
    for panel in panels():
        where = panel["title"]
        if {t["datasource"]["uid"] for t in panel["targets"]} | {panel["datasource"]["uid"]} != {"${datasource}"}:
            faults.append(f"{where}: its data source is not the variable")
        for target in panel["targets"]:
            rules.append({"record": "panel", "expr": re.sub(r"\$__\w+", "5m", target["expr"])})
            faults += [f"{where}: {selector} does not filter by pipeline" for selector in re.findall(r"\w+(?:\{[^}]*\})?", target["expr"])
                       if re.match(r"(weir|process)_", selector) and 'pipeline=~"$pipeline"' not in selector]
            many = re.search(r"by \([^)]*(shard|table|instance|code)", target["expr"]) or "{{instance}}" in target["legendFormat"]
            if panel["type"] == "timeseries" and many and not re.match(r"(top|bottom)k\(10,", target["expr"]):
                faults.append(f"{where}: a line for each lane, table, worker or code")
        steps = panel["fieldConfig"]["defaults"].get("thresholds", {}).get("steps", [])
        linked = [link["url"].partition("#")[2] for link in panel["links"]]
        if len(steps) == 2:
            thresholds += 1
            # A count that has to be 0 turns red at 1.
            limits = {max(float(n), 1) if float(n) == 0 else float(n) for name, rule in alerts().items() if name.lower() in linked
                      for n in re.findall(r"[<>=] (\d\S*)", rule["expr"])[:1]}
            if steps[1]["value"] not in limits:
                faults.append(f"{where}: it turns red at {steps[1]['value']}, and the rules it links to have {limits}")
    path = suite.path("panels.yaml")
    with open(path, "w") as f:
        yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}, f)
    faults += promtool(suite, "check", "rules", "--lint=none", path)
    return faults + ([] if len(rules) > 30 and thresholds > 8 else [f"only {len(rules)} queries and {thresholds} thresholds were found"])


QUANTITY = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "k": 2**10, "m": 2**20, "g": 2**30}


def quantity(text):
    number, unit = re.fullmatch(r"(\d+)(\w*)", str(text)).groups()
    return int(number) * QUANTITY.get(unit, 1)


def agreement():
    """Rules, scrape configurations and deployments speak of the same job and of the same memory."""
    faults = []
    wanted = {job for where, expression in expressions() for job in re.findall(r'job="([^"]*)"', expression)}
    compose_file = yaml.safe_load(read("compose.yaml"))
    for name in ("prometheus.yml", "kubernetes.yml"):
        jobs = {job["job_name"] for job in yaml.safe_load(read("Prometheus", name))["scrape_configs"]}
        if wanted - jobs:
            faults.append(f"rules or panels want the job {wanted - jobs}, and {name} has {jobs}")
    pods = next(d for _, d in documents() if d["kind"] == "StatefulSet")
    template = pods["spec"]["template"]
    scraping = [a for a in template["metadata"].get("annotations", {}) if a.startswith("prometheus.io/")]
    faults += [f"the pods ask to be scraped by a job of another name: {scraping}"] if scraping else []
    found = next(c for c in yaml.safe_load(read("Prometheus", "kubernetes.yml"))["scrape_configs"])
    selector = found["kubernetes_sd_configs"][0]["selectors"][0]["label"].split("=")
    if template["metadata"]["labels"].get(selector[0]) != selector[1]:
        faults.append(f"kubernetes.yml finds no pod by {selector}")
    ports = {p["name"] for p in template["spec"]["containers"][0]["ports"]}
    if not ports & {r.get("regex") for r in found["relabel_configs"]}:
        faults.append(f"kubernetes.yml keeps none of the ports {ports}")
    faults += memory_rule()
    for name, service in compose_file["services"].items():
        if service["image"] == "weir" and service["command"][0] != "run" and not service.get("healthcheck", {}).get("disable"):
            faults.append(f"{name} inherits the image's health check, which asks an admin server that it does not have")
    return faults + ([] if wanted else ["no rule names a job: the check shows nothing"])


def memory_rule():
    """WeirMemory fires before a worker stops for its state, whatever its budget, and a worker's peak or mapped pages do not matter to it."""
    expression = next(e for w, e in expressions() if w == "WeirMemory")
    share, bound = float(re.search(r"\(([\d.]+) \* max by", expression)[1]), float(re.search(r"> ([\d.]+)$", expression)[1])
    faults = [] if set(re.findall(r"\b\w*memory_\w+|\bprocess_\w+", expression)) == {"weir_memory_bytes", "weir_memory_budget_bytes"} else [f"WeirMemory: {expression}"]
    with open(PAGE) as f:
        stops = re.search(r"^\| dedup, open windows, keyed state \| two fifths of the budget \| the worker stops", f.read(), re.M)
    if not stops or not 0.2 < share * bound < 0.4:
        faults.append(f"WeirMemory fires at {share * bound:.3g} of the budget, and a worker stops at two fifths, as Operations.md says: {bool(stops)}")
    return faults


# -- Names

def families(text):
    """{name: (type, label names)} of an exposition."""
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M))
    labels = {name: set() for name in kinds}
    for name, pairs in re.findall(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? \S+$", text, re.M):
        family = name if name in kinds else next((name.removesuffix(p) for p in PARTS if name.removesuffix(p) in kinds), name)
        labels.setdefault(family, set()).update(re.findall(r'(\w+)="', pairs))
    return {name: (kinds.get(name), labels[name]) for name in labels}


def documented(text):
    """The table of metrics in Operations.md, compared with a worker's: name, type, labels (`pipeline` is on all)."""
    faults = []
    page = {name: (kind, labels | {"pipeline"}) for name, labels, kind, _ in rows_of_page()}
    there = families(text)
    for name in sorted(set(page) | set(there)):
        if name not in page:
            faults.append(f"{name} is not in Operations.md")
        elif name not in there:
            faults.append(f"{name} is in Operations.md, and no worker reports it")
        else:
            kind, labels = there[name]
            labels = labels - {"le"}
            # A family without a sample shows no labels.
            if kind != page[name][0] or (labels and labels != page[name][1]):
                faults.append(f"{name}: Operations.md has {page[name]}, a worker {kind, labels}")
    return faults


def rows_of_page():
    """(name, labels, type, (old name, its labels) or None) of the table in Operations.md."""
    with open(PAGE) as f:
        rows = re.findall(r"^\| `([a-z_]+)(?:\{([a-z, ]+)\})?` \| (counter|gauge|histogram) \| (?:`([a-z_]+)(?:\{([a-z, ]+)\})?`)?[^|]*\|", f.read(), re.M)
    names = lambda text: {label.strip() for label in text.split(",") if label}
    return [(name, names(labels), kind, (old, names(old_labels)) if old else None) for name, labels, kind, old, old_labels in rows]


def renamed(text, old_text):
    """The old names in Operations.md, compared with `/metrics?names=old`: each has the type and the samples of the new one."""
    faults, there, was = [], families(text), families(old_text)
    for name, labels, kind, old in rows_of_page():
        if old is None:
            continue
        if old[0] not in was or was[old[0]][0] != kind:
            faults.append(f"{old[0]}, the old name of {name}, is not in /metrics?names=old as a {kind}")
            continue
        shown = was[old[0]][1] - {"le"}
        if shown and shown != old[1]:
            faults.append(f"{old[0]} has the labels {shown}; Operations.md has {old[1]}")
        # Positions and times move between two scrapes; the number of samples of what changes slowly does not.
        count = lambda which, text: len(re.findall(rf"^{which}(?:_bucket|_sum|_count)?(?:\{{| )", text, re.M))
        if count(name, text) != count(old[0], old_text):
            faults.append(f"{name} has {count(name, text)} samples, and {old[0]} {count(old[0], old_text)}")
    with open(PAGE) as f:
        only_old = set(re.findall(r"^- `([a-z_]+)` was removed", f.read(), re.M))
    listed = {old[0] for _, _, _, old in rows_of_page() if old} | only_old
    return faults + [f"{name} is an old name that Operations.md does not list" for name in sorted(set(was) - listed)]


def expressions():
    """(where, expression) of all rules, panels and variables."""
    for group in yaml.safe_load(read("Prometheus", "rules.yaml"))["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]
    for panel in json.loads(read("Grafana", "weir.json"))["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]
    for variable in json.loads(read("Grafana", "weir.json"))["templating"]["list"]:
        if variable["type"] == "query":
            yield f"${variable['name']}", re.fullmatch(r"label_values\((.*), \w+\)", variable["query"]["query"])[1]


# Of PromQL; what remains of an expression are metrics and labels.
WORDS = set("sum count max min avg max_over_time topk bottomk vector by without on ignoring rate increase deriv time histogram_quantile label_replace absent and or unless Inf".split())
OUTSIDE = {"up": {"job", "instance"}}
TARGET = {"job", "instance", "le"}


def names(text):
    there = {name: labels for name, (_, labels) in families(text).items()}
    known = {**there, **OUTSIDE}
    for name, (kind, labels) in families(text).items():
        if kind == "histogram":
            known.update({name + part: labels for part in PARTS})
    with open(PAGE) as f:       # also labels of what has no sample yet
        documented = {label.strip() for labels in re.findall(r"^\| `[a-z_]+\{([a-z, ]+)\}`", f.read(), re.M) for label in labels.split(",")}
    every = set().union(*known.values()) | TARGET | documented
    faults, seen = [], 0
    for where, expression in expressions():
        for name, matchers in re.findall(r"([a-zA-Z_]\w*)\{([^}]*)\}", expression):
            wrong = set(re.findall(r"(\w+)\s*[=!]", matchers)) - known.get(name, set()) - TARGET
            if wrong and known.get(name):
                faults.append(f"{where}: {name} has no label {wrong}")
        bare = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^\]]*\]', " ", expression)
        for word in re.findall(r"\b[a-zA-Z_]\w*\b", bare):
            if word in WORDS or word in every:
                continue
            seen += 1
            if word not in known:
                faults.append(f"{where}: there is no metric {word}")
    return faults + ([] if seen > 30 else [f"only {seen} names were found in rules and dashboard"])


# -- Image and manifests

def instructions():
    """(instruction, text) of the Dockerfile, continued lines joined."""
    text = re.sub(r"\\\n\s*", " ", re.sub(r"^#.*\n", "", read("Dockerfile"), flags=re.M))
    return [tuple(line.split(None, 1)) for line in text.split("\n") if line.strip()]


def health_command():
    text = next(text for word, text in instructions() if word == "HEALTHCHECK")
    return json.loads(text[text.index("CMD ") + 4:])


def documents():
    for name in sorted(os.listdir(os.path.join(DEPLOY, "Kubernetes"))):
        for document in yaml.safe_load_all(read("Kubernetes", name)):
            yield name, document


def target_host(found):
    url = found["ScaledObject"][0]["spec"]["triggers"][0]["metadata"]["url"]
    return re.fullmatch(r"http://([^:/]+):\d+/scale", url)[1]


def manifests():
    import kubernetes_validate
    faults, count, found = [], 0, {}
    for name, document in documents():
        kind = document["kind"]
        found.setdefault(kind, []).append(document)
        if "keda.sh" in document["apiVersion"]:
            continue                # a resource of KEDA's, of which no schema is in reach
        count += 1
        try:
            kubernetes_validate.validate(document, "1.29", strict=True)
        except Exception as e:
            faults.append(f"{name}, {kind}: {e}")
    workers = found["StatefulSet"][0]
    pod = workers["spec"]["template"]["spec"]
    container = pod["containers"][0]
    labels = workers["spec"]["template"]["metadata"]["labels"]
    for kind in ("PodDisruptionBudget", "StatefulSet"):
        if found[kind][0]["spec"]["selector"]["matchLabels"] != labels:
            faults.append(f"the selector of {kind} does not match the pods")
    if found["Service"][0]["spec"]["selector"] != labels:
        faults.append("the selector of Service does not match the pods")
    target = found["ScaledObject"][0]["spec"]["scaleTargetRef"]
    if (target["kind"], target["name"]) != ("StatefulSet", workers["metadata"]["name"]):
        faults.append("the ScaledObject scales something else")
    pipeline = yaml.safe_load(found["ConfigMap"][0]["data"]["pipeline.yaml"])
    drain = int(pipeline["worker"]["drain"].removesuffix("s"))
    if pod["terminationGracePeriodSeconds"] <= drain:
        faults.append("pods are killed before worker.drain")
    ports = {p["name"]: p["containerPort"] for p in container["ports"]}
    if "token" not in pipeline["admin"]:
        faults.append("workers are reached by others without a token")
    if target_host(found) not in pipeline["admin"].get("hosts", []):
        faults.append(f"KEDA asks {target_host(found)}, which is not in admin.hosts")
    secrets = {r["key"] for a in found["TriggerAuthentication"] for r in a["spec"]["secretTargetRef"]}
    if {os.path.basename(pipeline["admin"]["token"]["file"])} != secrets:
        faults.append(f"KEDA sends {secrets}, and the workers want {pipeline['admin']['token']}")
    if not pipeline["admin"]["listen"].endswith(f":{ports['admin']}"):
        faults.append("the container's port is not that of admin.listen")
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        if container[probe]["httpGet"]["path"] not in ("/started", "/live", "/ready"):
            faults.append(f"{probe} asks for {container[probe]['httpGet']['path']}")
    mounts = {m["name"] for m in container["volumeMounts"]}
    if mounts != {v["name"] for v in pod["volumes"]}:
        faults.append(f"volumes and mounts differ: {mounts}")
    return faults + ([] if count >= 7 else [f"only {count} documents were checked"])


def pipelines(suite):
    """The pipelines of compose.yaml and of the manifests."""
    where = suite.path("deployed")
    os.makedirs(where, exist_ok=True)
    texts = {"compose": read("Pipelines", "ad-events-kafka.yaml")}
    texts |= {"kubernetes": d["data"]["pipeline.yaml"] for _, d in documents() if d["kind"] == "ConfigMap"}
    faults = []
    for name, text in texts.items():
        path = os.path.join(where, f"{name}.yaml")
        with open(path, "w") as f:
            f.write(text)
        run = subprocess.run([suite.weir, "check", path], capture_output=True, text=True,
                             env={**os.environ, "KAFKA_BROKERS": "kafka:9092", "POD_NAME": "weir-0"})
        faults += [f"{name}: {run.stderr.strip()}"] if run.returncode else []
    return faults


def compose(suite):
    spec = yaml.safe_load(read("compose.yaml"))
    faults = []
    for name, service in spec["services"].items():
        if ":" not in service["image"] and service["image"] != "weir":
            faults.append(f"{name}: {service['image']} has no version")
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith(".") and not os.path.exists(os.path.join(DEPLOY, source)):
                faults.append(f"{name}: {source} does not exist")
            if not source.startswith(".") and source not in spec["volumes"]:
                faults.append(f"{name}: the volume {source} is not declared")
        depends = service.get("depends_on", [])
        faults += [f"{name} depends on {d}, which is not a service" for d in depends if d not in spec["services"]]
        if service["image"] == "weir":
            command = service["command"]
            help_text = subprocess.run([suite.weir, command[0], "--help"], capture_output=True, text=True).stdout
            if f"weir {command[0]}" not in help_text:
                suite.note(f"{name}: this weir has no command {command[0]}: its options are not checked")
                continue
            faults += [f"{name}: weir {command[0]} has no {o}" for o in command if o.startswith("--") and o not in help_text]
            faults += [] if service.get("read_only") and service.get("cap_drop") == ["ALL"] else [f"{name} may write, or has capabilities"]
    grace = int(spec["services"]["worker"]["stop_grace_period"].removesuffix("s"))
    drain = int(yaml.safe_load(read("Pipelines", "ad-events-kafka.yaml"))["worker"]["drain"].removesuffix("s"))
    return faults + ([] if grace > drain else ["workers are killed before worker.drain"])
