// The picture of the page in the README:
//
//   (cd tests/page && npm ci) && node bench/page/picture.mjs build/beckon docs/images/page.png

process.env.BECKON = process.argv[2] ?? 'build/beckon';
const { click, drag, hover, launch, openPage, saved, start } = await import('../../tests/page/browser/page.mjs');

const browser = await launch();
const server = await start();
try {
  const page = await openPage(browser, server.url, { name: 'astronaut.png' });
  let count = 0;
  const named = async (label) => {
    await saved(page, ++count);
    await page.keyboard.press('n');
    await page.keyboard.type(label);
    await page.keyboard.press('Enter');
    await saved(page, count);
  };
  await drag(page, [[278, 342], [511, 511]]);
  await named('helmet');
  await page.keyboard.press('x');
  await click(page, 172, 385);
  await named('badge');
  await hover(page, 225, 130);
  await page.keyboard.press('1');
  await click(page, 225, 130);
  await named('face');
  await page.keyboard.press('x');
  await hover(page, 432, 70);
  await page.waitForFunction(() => document.querySelector('#notice').hidden, null, { timeout: 9000 });
  await page.screenshot({ path: process.argv[3] ?? 'docs/images/page.png' });
} finally {
  await browser.close();
  await server.stop();
}
