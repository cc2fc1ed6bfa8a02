/** The files of a drop, those inside of dropped folders included: their names then hold the folders' names, as an archive's would. */

/** Items must be asked while the event lasts; the files of their entries may come later. What is no file, as a dragged text, is left out. */
export async function readDropped(items: DataTransferItemList): Promise<File[]> {
  const reading = [...items].map((item) => {
    const entry = item.webkitGetAsEntry();
    if (entry) return readEntry(entry);
    const file = item.getAsFile();
    return file ? [file] : [];
  });
  return (await Promise.all(reading)).flat();
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
