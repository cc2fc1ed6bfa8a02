/** The parts of the platform, and which of them a path belongs to. */

export const SECTIONS = [
  { name: "Datasets", path: "/", roots: ["", "datasets"] },
  { name: "Models", path: "/models", roots: ["models", "artifacts", "deployments", "reports"] },
  { name: "Jobs", path: "/jobs", roots: ["jobs"] },
  { name: "Devices", path: "/devices", roots: ["devices"] },
] as const;

export type SectionName = (typeof SECTIONS)[number]["name"];

export function findSection(path: string): SectionName | undefined {
  const root = path.split("/")[1] ?? "";
  return SECTIONS.find(({ roots }) => (roots as readonly string[]).includes(root))?.name;
}
