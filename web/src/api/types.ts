/** The server's records by the names that pages use. */
import type { components } from "./schema";

type Schemas = components["schemas"];

export type Addition = Schemas["Addition"];
export type Category = Schemas["Category"];
export type DatasetSummary = Schemas["DatasetSummary"];
export type Datasets = Schemas["Datasets"];
export type Item = Schemas["Item"];
export type ItemState = Item["state"];
export type Items = Schemas["Items"];
export type Session = Schemas["Session"];
export type Frames = Schemas["Frames"];
export type Finding = Schemas["Finding"];
export type Report = Schemas["Report"];
export type Video = Schemas["Video"];
export type Upload = Schemas["Upload"];
export type Version = Schemas["Version"];

export type Annotation = Schemas["Annotation"];
export type Job = Schemas["Job"];
export type JobKind = Job["kind"];
export type JobState = Job["state"];
export type JobEvent = Schemas["JobEvent"];
export type Made = Schemas["Made"];
export type TrainingOptions = Schemas["TrainingOptions"];
export type TaskOption = Schemas["TaskOption"];
export type Device = Schemas["DeviceFacts"];
export type Devices = Schemas["Devices"];
export type Model = Schemas["ModelFacts"];
export type Artifact = Schemas["ArtifactFacts"];
export type Deployment = Schemas["DeploymentFacts"];
export type MeasuredReport = Schemas["ReportFacts"];

export type ApiKey = Schemas["ApiKey"];
export type NewUser = Schemas["NewUser"];
export type User = Schemas["User"];
export type UserChange = Schemas["UserChange"];
export type Role = User["role"];
