"use strict";
// The page to try a picture: lists the deployments, posts a picture twice (JSON and drawn PNG), shows both answers; a network that draws gives its picture both times.
const find = (id) => document.getElementById(id);
const thresholds = new Map(); // of each deployment, its model's own confidence threshold
const MAX_NAMES = 12; // categories that a row names; a network may know a thousand
let drawnUrl = null;
let picture = null; // asked about again when the deployment or the confidence changes
let lastTurn = 0;

function ask(path, options = {}) {
  const key = find("key").value.trim(); // kept in this page alone
  const headers = { ...options.headers, ...(key ? { Authorization: `Bearer ${key}` } : {}) };
  return fetch(path, { ...options, headers });
}

function listNames(names) {
  const shown = names.slice(0, MAX_NAMES).join(", ");
  return names.length > MAX_NAMES ? `${shown} and ${names.length - MAX_NAMES} more` : shown;
}

function addRow(deployment) {
  const row = find("deployments").insertRow();
  const failed = deployment.state !== "ready";
  const cells = failed
    ? [deployment.name, "", deployment.detail || deployment.state]
    : [deployment.name, deployment.version, deployment.task, deployment.precision, deployment.engine, listNames(deployment.categories)];
  for (const text of cells) row.insertCell().textContent = text;
  if (failed) row.cells[2].colSpan = 4;
  row.classList.toggle("failed", failed);
  if (failed || !deployment.input) return; // a graph of raw tensors takes no picture
  find("name").add(new Option(deployment.name, deployment.name));
  thresholds.set(deployment.name, deployment.decode?.confidence_threshold);
}

async function listDeployments() {
  const answer = await ask("/deployments");
  const content = await answer.json();
  find("keys").hidden = answer.status !== 401 && !find("key").value;
  find("deployments").replaceChildren();
  find("name").replaceChildren();
  find("form").hidden = true;
  if (!answer.ok) throw new Error(content.detail);
  find("status").textContent = "";
  content.deployments.forEach(addRow);
  find("none").hidden = content.deployments.length > 0;
  find("form").hidden = find("name").options.length === 0;
  if (find("name").options.length > 0) chooseDeployment();
}

function showDeployments() {
  listDeployments().catch((error) => { find("status").textContent = error.message; });
}

async function send(file, format) {
  const query = new URLSearchParams({ confidence: find("confidence").value, format, mask: "polygons" });
  const path = `/predict/${encodeURIComponent(find("name").value)}?${query}`;
  const answer = await ask(path, { method: "POST", body: file, headers: { "Content-Type": "application/octet-stream" } });
  if (!answer.ok) throw new Error((await answer.json()).detail);
  return answer;
}

function showFound(annotations) {
  find("found").replaceChildren();
  for (const { category, confidence, box_xyxy: box, attributes } of annotations) {
    const row = find("found").insertRow();
    const more = Object.entries(attributes ?? {}).map(([name, value]) => `, ${name}: ${value}`); // what a pipeline says of a crop
    const cells = [category + more.join(""), confidence?.toFixed(2) ?? "", box ? box.map(Math.round).join(", ") : "the whole picture"];
    for (const text of cells) row.insertCell().textContent = text;
  }
}

function showResult(file, result, drawn) {
  if (drawnUrl) URL.revokeObjectURL(drawnUrl);
  drawnUrl = URL.createObjectURL(drawn);
  find("answer").src = drawnUrl;
  showFound(result?.annotations ?? []);
  find("json").textContent = result ? JSON.stringify(result, null, 1) : "";
  find("command").textContent = `curl${find("key").value ? ' -H "Authorization: Bearer $KEY"' : ""} --data-binary @PICTURE ${location.origin}/predict/${find("name").value}${result ? "" : " -o drawn.png"}`;
  find("result").hidden = false;
  if (!result) {
    find("status").textContent = `drawn from ${file.name}`;
    return;
  }
  const { decode, infer } = result.timing_ms;
  const count = `${result.annotations.length || "nothing"} found in ${file.name}`;
  find("status").textContent = `${count}; decoding ${decode.toFixed(1)} ms, inference ${infer.toFixed(1)} ms`;
}

async function predict() {
  if (!picture) return;
  const file = picture;
  const turn = ++lastTurn;
  find("status").textContent = `Asking about ${file.name}…`;
  try {
    const [answer, drawn] = await Promise.all([send(file, "json"), send(file, "png").then((answer) => answer.blob())]);
    const isPicture = answer.headers.get("Content-Type").startsWith("image/"); // of a network that draws
    const result = isPicture ? null : await answer.json();
    if (turn === lastTurn) showResult(file, result, drawn); // an answer that a later question has overtaken is dropped
  } catch (error) {
    if (turn !== lastTurn) return;
    find("result").hidden = true;
    find("status").textContent = error.message;
  }
}

function take(file) {
  if (!file) return;
  picture = file;
  predict();
}

function showConfidence() {
  find("confidence-value").textContent = Number(find("confidence").value).toFixed(2);
}

function chooseDeployment() {
  find("confidence").value = thresholds.get(find("name").value) ?? 0.25;
  showConfidence();
  predict();
}

find("name").addEventListener("change", chooseDeployment);
find("confidence").addEventListener("input", showConfidence);
find("confidence").addEventListener("change", predict);
find("file").addEventListener("change", (event) => take(event.target.files[0]));
find("drop").addEventListener("dragover", (event) => { event.preventDefault(); find("drop").classList.add("over"); });
find("drop").addEventListener("dragleave", () => find("drop").classList.remove("over"));
find("drop").addEventListener("drop", (event) => {
  event.preventDefault();
  find("drop").classList.remove("over");
  take(event.dataTransfer.files[0]);
});
find("drop").addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") find("file").click(); });
find("keys").addEventListener("submit", (event) => { event.preventDefault(); showDeployments(); });
showDeployments();
