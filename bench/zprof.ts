// temp
import { prepareData } from './data.ts'
import { writeFileSync } from 'node:fs'
import { worksOf } from './works.ts'
const data = await prepareData('postgres://postgres@127.0.0.1:5432/postgres', [1, 100, 1000])
writeFileSync('/tmp/prof/data.json', JSON.stringify({ url: data.databaseUrl, tokens: [...data.tokens], works: worksOf([1, 100, 1000]), followed: data.followed }))
console.log(data.databaseUrl)
process.exit(0)
