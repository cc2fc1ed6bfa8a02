/** The files of a drop, those inside of dropped folders included: their names then hold the folders' names, as an archive's would. */

/** The entries must be asked for while the event lasts; their files may come later. */
export async function readDropped(items: DataTransferItemList): Promise<File[]> {
  const entries = [...items].map((item) => item.webkitGetAsEntry()).filter((entry) => entry !== null);
  return (await Promise.all(entries.map(readEntry))).flat();
}

async function readEntry(entry: FileSystemEntry): Promise<File[]> {
  if (isFile(entry)) {
    const file = await new Promise<File>((resolve, reject) => entry.file(resolve, reject));
    return [nameByPath(file, entry.fullPath.replace(/^\//, ""))];
  }
  const found = await readFolder(entry as FileSystemDirectoryEntry);
  return (await Promise.all(found.map(readEntry))).flat();
}

/** A folder tells its entries in portions, the last of which is empty. */
async function readFolder(folder: FileSystemDirectoryEntry): Promise<FileSystemEntry[]> {
  const reader = folder.createReader();
  const found: FileSystemEntry[] = [];
  for (;;) {
    const portion = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (portion.length === 0) return found;
    found.push(...portion);
  }
}

function isFile(entry: FileSystemEntry): entry is FileSystemFileEntry {
  return entry.isFile;
}

/** The file under its path; of a dropped file the browser leaves `webkitRelativePath` empty. */
function nameByPath(file: File, path: string): File {
  if (path !== file.name) Object.defineProperty(file, "webkitRelativePath", { value: path });
  return file;
}
