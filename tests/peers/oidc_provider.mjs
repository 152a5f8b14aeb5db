// oidc-provider on loopback, over http and https. Its clients, resources and trusted issuers are told under /peer/.
// Arguments: a file beside node_modules, a PEM file with key and certificate, another with the authority of clients.
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { createRequire } from 'node:module';
import { json } from 'node:stream/consumers';

const require = createRequire(process.argv[2]);
const [pem, ca] = process.argv.slice(3).map((path) => readFileSync(path));
const { default: Provider, errors } = require('oidc-provider');
const { default: Memory } = require('oidc-provider/lib/adapters/memory_adapter.js');
const clientCredentials = require('oidc-provider/lib/actions/grants/client_credentials.js');
const helpers = require('oidc-provider/lib/helpers/grants.js');
const { createLocalJWKSet, decodeJwt, jwtVerify } = require('jose');

const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';
const JWTS = [ACCESS_TOKEN, 'urn:ietf:params:oauth:token-type:jwt', 'urn:ietf:params:oauth:token-type:id_token'];
const ENTRA = /^\/[^/]+\/(?:oauth2\/v2\.0(?=\/token)|v2\.0(?=\/\.well-known\/))/;
const DEFAULT = '/.default';
const OPAQUE_TTL = 600;

const told = { clients: new Map(), resources: new Map(), issuers: new Map() };
const journal = [];

const pairs = [['RS256', 'rsa', { modulusLength: 2048 }], ['ES256', 'ec', { namedCurve: 'P-256' }]]
  .map(([alg, type, options]) => ({ alg, ...generateKeyPairSync(type, options) }));
const jwks = (half) => ({
  keys: pairs.map(({ alg, [half]: key }) => ({ ...key.export({ format: 'jwk' }), alg, kid: alg, use: 'sig' })),
});

const configuration = {
  adapter: (model) => (model === 'Client' ? { find: async (id) => told.clients.get(id) } : new Memory(model)),
  clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'private_key_jwt', 'tls_client_auth', 'none'],
  cookies: { keys: ['unused'] },
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    introspection: { enabled: true },
    mTLS: {
      enabled: true,
      certificateBoundAccessTokens: true,
      tlsClientAuth: true,
      getCertificate: ({ socket }) => socket.getPeerX509Certificate?.(),
      certificateAuthorized: ({ socket }) => socket.authorized,
      certificateSubjectMatches: ({ socket }, property, expected) => property === 'tls_client_auth_san_dns'
        && socket.getPeerX509Certificate().checkHost(expected, { subject: 'never' }) !== undefined,
    },
    resourceIndicators: {
      enabled: true,
      defaultResource: ({ oidc: { params: { audience, scope } } }) => audience
        ?? (scope?.endsWith(DEFAULT) ? scope.slice(0, -DEFAULT.length) : undefined),
      getResourceServerInfo: (ctx, indicator) => {
        const resource = told.resources.get(indicator);
        if (!resource) throw new errors.InvalidTarget('unknown resource');
        return resource;
      },
    },
  },
  formats: {
    customizers: {
      jwt: ({ state: { subject }, oidc: { client } }, token, { payload }) => {
        if (subject) Object.assign(payload, { sub: subject.sub, act: { sub: client.clientId } });
      },
    },
  },
  jwks: jwks('privateKey'),
  ttl: { ClientCredentials: (ctx, token) => token.resourceServer?.accessTokenTTL ?? OPAQUE_TTL },
};

// RFC 8693: delegation, for JWTs of this server and of those that it was told to trust.
async function exchange(provider, ctx) {
  const { subject_token: token, subject_token_type: type } = ctx.oidc.params;
  if (!JWTS.includes(type)) throw new errors.InvalidRequest('unsupported subject_token_type');
  try {
    const { iss: issuer } = decodeJwt(token);
    const { jwks: keys, audience } = told.issuers.get(issuer);
    const rules = { issuer, audience, requiredClaims: ['exp', 'sub'] };
    ctx.state.subject = (await jwtVerify(token, createLocalJWKSet(keys), rules)).payload;
  } catch (cause) {
    throw new errors.InvalidRequest('subject_token is not valid', undefined, { cause });
  }
  const bound = Object.entries(helpers).map(([name, helper]) => [name, helper.bind(undefined, provider)]);
  await clientCredentials.handler(provider, Object.fromEntries(bound), ctx);
  ctx.body.issued_token_type = ACCESS_TOKEN;
}

async function serve(server, scheme) {
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const issuer = `${scheme}://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, configuration);
  provider.registerGrantType(
    EXCHANGE,
    (ctx) => exchange(provider, ctx),
    ['subject_token', 'subject_token_type', 'requested_token_type', 'audience', 'resource', 'scope'],
  );
  const audiences = provider.OIDCContext.prototype.clientJwtAuthExpectedAudience;
  provider.OIDCContext.prototype.clientJwtAuthExpectedAudience = function expected() {
    return audiences.call(this).add(issuer + this.ctx.req.asked);
  };
  provider.use(async (ctx, next) => {
    await next();
    if (ctx.path !== '/token') return;
    const { headers, oidc: { body, client }, req, status, body: { error } } = ctx;
    journal.push({ path: req.asked, headers, form: body, client: client?.clientId, status, error });
  });
  for (const event of ['grant.error', 'introspection.error', 'server_error']) {
    provider.on(event, ({ req }, error) => {
      console.log(req.asked, error.message, error.error_detail ?? error.error_description ?? error.stack);
    });
  }
  told.issuers.set(issuer, { jwks: jwks('publicKey') });
  const handle = provider.callback();
  server.on('request', (req, res) => {
    req.asked = req.url;
    req.url = req.url.replace(ENTRA, '');
    if (req.url.startsWith('/peer/')) listen(req, res);
    else handle(req, res);
  });
  return issuer;
}

async function listen(req, res) {
  const what = req.url.slice('/peer/'.length);
  if (req.method === 'PUT') {
    const [name, value] = await json(req);
    told[what].set(name, value);
  }
  res.setHeader('Content-Type', 'application/json');
  res.end(JSON.stringify(journal));
}

const tls = { key: pem, cert: pem, ca, requestCert: true, rejectUnauthorized: false };
console.log('serving', await serve(createServer(), 'http'), await serve(createTlsServer(tls), 'https'));
