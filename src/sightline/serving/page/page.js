"use strict";
// The page to try a picture: lists the deployments, posts a picture twice (JSON and drawn PNG), shows both answers.
const find = (id) => document.getElementById(id);
let drawnUrl = null;

function addRow(deployment) {
  const row = find("deployments").insertRow();
  const failed = deployment.state !== "ready";
  const cells = failed
    ? [deployment.name, "", deployment.detail, "", "", ""]
    : [deployment.name, deployment.version, deployment.task, deployment.precision, deployment.engine, deployment.categories.join(", ")];
  for (const text of cells) row.insertCell().textContent = text;
  row.classList.toggle("failed", failed);
  if (failed) return;
  find("name").add(new Option(deployment.name, deployment.name));
}

async function listDeployments() {
  const answer = await fetch("/deployments");
  const { deployments } = await answer.json();
  deployments.forEach(addRow);
  find("none").hidden = deployments.length > 0;
  find("form").hidden = deployments.length === 0;
}

async function send(file, format) {
  const query = new URLSearchParams({ confidence: find("confidence").value, format, mask: "polygons" });
  const path = `/predict/${encodeURIComponent(find("name").value)}?${query}`;
  const answer = await fetch(path, { method: "POST", body: file, headers: { "Content-Type": "application/octet-stream" } });
  if (!answer.ok) throw new Error((await answer.json()).detail);
  return answer;
}

async function predict(file) {
  find("status").textContent = `Asking about ${file.name}…`;
  try {
    const result = await (await send(file, "json")).json();
    const drawn = await (await send(file, "png")).blob();
    if (drawnUrl) URL.revokeObjectURL(drawnUrl);
    drawnUrl = URL.createObjectURL(drawn);
    find("answer").src = drawnUrl;
    find("json").textContent = JSON.stringify(result, null, 1);
    find("answer").hidden = find("json").hidden = false;
    const { decode, infer } = result.timing_ms;
    find("status").textContent = `${result.annotations.length} found; decoding ${decode} ms, inference ${infer} ms`;
  } catch (error) {
    find("status").textContent = error.message;
  }
}

find("confidence").addEventListener("input", () => { find("confidence-value").textContent = find("confidence").value; });
find("file").addEventListener("change", (event) => { if (event.target.files[0]) predict(event.target.files[0]); });
find("drop").addEventListener("dragover", (event) => { event.preventDefault(); find("drop").classList.add("over"); });
find("drop").addEventListener("dragleave", () => find("drop").classList.remove("over"));
find("drop").addEventListener("drop", (event) => {
  event.preventDefault();
  find("drop").classList.remove("over");
  if (event.dataTransfer.files[0]) predict(event.dataTransfer.files[0]);
});
find("drop").addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") find("file").click(); });
listDeployments().catch((error) => { find("status").textContent = error.message; });
