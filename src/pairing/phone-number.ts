export const PHONE_NUMBER_RULE = 'the digits of a number with its country code, 7 to 15 of them, without + or spaces'

/** Whether a text can be the number of a phone that is asked to accept a device. */
export const isPhoneNumber = (text: string): boolean => /^[1-9]\d{6,14}$/.test(text)
