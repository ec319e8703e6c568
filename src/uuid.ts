/** Whether a text can be an id of ours; what cannot exists nowhere, and the database need not be asked. */
export const isUuid = (text: string): boolean => /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(text)
