/** What a password may be, as the server has it. */
export const SHORTEST_PASSWORD = 8;
export const LONGEST_PASSWORD = 1024;
