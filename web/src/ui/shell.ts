/** Commands as a shell reads them. */

/** The command, said of this workspace wherever it is typed. */
export function inWorkspace(command: string, workspace: string | undefined): string {
  return workspace === undefined ? command : `${command} --workspace ${quote(workspace)}`;
}

function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'"'"'`)}'`;
}
