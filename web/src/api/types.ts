/** The server's records by the names that pages use. */
import type { components } from "./schema";

type Schemas = components["schemas"];

export type Category = Schemas["Category"];
export type DatasetSummary = Schemas["DatasetSummary"];
export type Datasets = Schemas["Datasets"];
export type Item = Schemas["Item"];
export type ItemState = Item["state"];
export type Items = Schemas["Items"];
export type Session = Schemas["Session"];
export type Finding = Schemas["Finding"];
export type Report = Schemas["Report"];
export type Upload = Schemas["Upload"];
export type Version = Schemas["Version"];
