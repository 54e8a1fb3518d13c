// The picture of the page in the README:
//
//   (cd tests/page && npm ci) && node bench/page/picture.mjs build/beckon docs/images/page.png

process.env.BECKON = process.argv[2] ?? 'build/beckon';
const { click, drag, hover, launch, openPage, saved, start } = await import('../../tests/page/browser/page.mjs');

const browser = await launch();
const server = await start();
try {
  const page = await openPage(browser, server.url, { name: 'coffee.png' });
  const name = async (text, count) => {
    await page.keyboard.press('n');
    await page.keyboard.type(text);
    await page.keyboard.press('Enter');
    await saved(page, count);
  };
  await hover(page, 365, 282);
  await page.keyboard.press('2');
  await click(page, 365, 282);
  await saved(page, 1);
  await name('spoon', 1);
  await page.keyboard.press('x');
  await drag(page, [[172, 14], [420, 302]]);
  await saved(page, 2);
  await name('cup', 2);
  await page.keyboard.press('x');
  await page.keyboard.press('Escape');
  await hover(page, 110, 210);
  await page.waitForFunction(() => document.querySelector('#notice').hidden, null, { timeout: 9000 });
  await page.screenshot({ path: process.argv[3] ?? 'docs/images/page.png' });
} finally {
  await browser.close();
  await server.stop();
}
