import process from "node:process";

/**
 * Prints a line to standard output, and resolves once the line has left this process: a reader gets
 * it even if the process is killed at once. A pipe whose reader is busy takes some 170 lines only;
 * the next ones wait in the memory of the writer, and die with it.
 */
export function say(line: string): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(`${line}\n`, (error) => error ? reject(error) : resolve());
  });
}
