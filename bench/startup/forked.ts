// A child that child_process.fork() started: answers one message, and ends.
process.once('message', (message) => process.send?.(message, () => process.disconnect()));
