"""The manifests for EKS, in Deploy/EKS."""
import os

import kubernetes_validate
import yaml

import deploy


def eks(suite):
    """The manifests for EKS fit their schemas, need no privilege, volume or node of their own, and pods get time to drain"""
    with open(os.path.join(deploy.DEPLOY, "EKS", "weir.yaml")) as f:
        found = {document["kind"]: document for document in yaml.safe_load_all(f)}
    faults = []
    for kind, document in found.items():
        try:
            kubernetes_validate.validate(document, "1.29", strict=True)
        except kubernetes_validate.ValidationError as e:
            faults.append(f"{kind}: {e}")
    pod = found["StatefulSet"]["spec"]["template"]["spec"]
    plan = yaml.safe_load(found["ConfigMap"]["data"]["pipeline.yaml"])
    faults += [f"pods have {name}" for name in ("hostPID", "hostNetwork", "hostIPC", "affinity", "nodeSelector", "nodeName") if name in pod]
    faults += [f"the volume {v['name']} is of one node or one pod" for v in pod["volumes"] if {"persistentVolumeClaim", "hostPath"} & set(v)]
    faults += ["claims are made"] if "PersistentVolumeClaim" in found or "volumeClaimTemplates" in found["StatefulSet"]["spec"] else []
    enforced = found["Namespace"]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
    faults += [] if enforced == "restricted" else [f"the namespace is {enforced}"]
    faults += [] if pod["serviceAccountName"] == found["ServiceAccount"]["metadata"]["name"] else ["pods have another service account"]
    faults += [] if pod["terminationGracePeriodSeconds"] > int(plan["worker"]["drain"].removesuffix("s")) else ["pods are killed before worker.drain"]
    labels = found["StatefulSet"]["spec"]["template"]["metadata"]["labels"]
    for name, selector in (("StatefulSet", found["StatefulSet"]["spec"]["selector"]["matchLabels"]), ("Service", found["Service"]["spec"]["selector"]),
                           ("PodDisruptionBudget", found["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"]),
                           ("NetworkPolicy", found["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"]),
                           ("spread", pod["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"])):
        faults += [] if selector == labels else [f"{name} does not select the pods"]
    container = pod["containers"][0]
    mounted = {m["name"] for m in container["volumeMounts"]}
    faults += [] if mounted == {v["name"] for v in pod["volumes"]} else [f"mounts are {mounted}"]
    faults += [] if plan["lake"]["path"].startswith("s3://") and "dynamodb" in plan["store"] else ["lake or state is on a disk"]
    faults += [] if plan["admin"]["listen"].endswith(f":{container['ports'][0]['containerPort']}") else ["the port is not that of admin.listen"]
    suite.claim(eks.__doc__, faults)
