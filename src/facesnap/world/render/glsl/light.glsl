// Key with shadow map, fill, rim and a hemisphere; colours are linear.
uniform vec3 u_key_direction;
uniform vec3 u_key;
uniform vec3 u_fill_direction;
uniform vec3 u_fill;
uniform vec3 u_rim_direction;
uniform vec3 u_rim;
uniform vec3 u_sky;
uniform vec3 u_ground;
uniform sampler2D u_shadow_map;
uniform sampler3D u_noise;
uniform float u_exposure;
uniform float u_class;         // what the picture shows here, for the segmentation

float lit(vec3 p, vec3 n) {
    vec4 s = u_shadow * vec4(p + n * 0.30, 1.0);
    vec3 q = s.xyz * 0.5 + 0.5;
    float sum = 0.0;
    for (int i = 0; i < 4; i++) {
        vec2 o = (vec2(i & 1, i >> 1) - 0.5) * 0.006;
        sum += smoothstep(-0.003, 0.003, texture(u_shadow_map, q.xy + o).r - q.z + 0.005);
    }
    return sum * 0.25;
}

// Normalised Blinn-Phong lobes; powers by squaring, as pow() is dear without a graphics card.
float squared(float x) { return x * x; }
float broad_lobe(vec3 n, vec3 h) { return 3.0 * squared(squared(squared(squared(max(dot(n, h), 0.0))))); }          // ^16
float tight_lobe(vec3 n, vec3 h) { return 8.0 * squared(squared(squared(squared(squared(max(dot(n, h), 0.0)))))) * squared(squared(squared(squared(max(dot(n, h), 0.0))))); }  // ^48

// Skin: red light travels further than green and blue, so it wraps round edges, softens relief and tints occlusion.
vec3 lit_skin(vec3 albedo, vec3 p, vec3 n, vec3 soft, vec3 v, float ao, float gloss, float dark) {
    float shadow = lit(p, soft);
    vec3 wrap = mix(vec3(0.36, 0.19, 0.13), vec3(0.22, 0.13, 0.10), dark);
    float sharp_key = dot(n, u_key_direction), soft_key = dot(soft, u_key_direction);
    vec3 cosine = vec3(mix(sharp_key, soft_key, 0.65), mix(sharp_key, soft_key, 0.25), sharp_key);
    vec3 key = clamp((cosine + wrap) / (1.0 + wrap), 0.0, 1.0);
    key *= mix(vec3(shadow), vec3(1.0), wrap * 0.30 * smoothstep(-0.3, 0.3, soft_key));
    float fill = clamp(dot(n, u_fill_direction) * 0.75 + 0.25, 0.0, 1.0);
    float rim = clamp((dot(soft, u_rim_direction) + 0.15) / 1.15, 0.0, 1.0);
    vec3 sky = mix(u_ground, u_sky, n.y * 0.5 + 0.5);
    vec3 occlusion = vec3(mix(ao, sqrt(ao), 0.6), ao, mix(ao, ao * ao, 0.1));   // red light bounces out of folds
    vec3 light = key * u_key * mix(vec3(1.0), occlusion, 0.35) + (fill * u_fill + sky) * occlusion + rim * u_rim * ao;
    float away = 1.0 - clamp(dot(n, v), 0.0, 1.0);
    float edge = squared(squared(away)) * away;
    float fresnel = 0.028 + 0.50 * edge * (1.0 - 0.4 * dark);
    vec3 h = normalize(v + u_key_direction);
    float broad = broad_lobe(n, h) * 0.75 + tight_lobe(n, h) * 0.40;
    vec3 shine = u_key * broad * shadow * clamp(sharp_key * 3.0, 0.0, 1.0)
        + (u_rim * rim * 2.0 + u_fill * fill * 0.4 + sky * 0.55) * mix(1.0, 0.5, dark);
    return albedo * light + gloss * fresnel * shine * ao * ao;
}

// Everything else: one rough surface.
vec3 shade(vec3 albedo, vec3 p, vec3 n, vec3 v, float ao, vec3 wrap, float gloss, float power) {
    float shadow = lit(p, n);
    vec3 key = clamp((dot(n, u_key_direction) + wrap) / (1.0 + wrap), 0.0, 1.0);
    vec3 soft = mix(vec3(shadow), vec3(1.0), wrap * 0.35);
    float fill = clamp(dot(n, u_fill_direction) * 0.7 + 0.3, 0.0, 1.0);
    float rim = clamp((dot(n, u_rim_direction) + 0.15) / 1.15, 0.0, 1.0);
    vec3 sky = mix(u_ground, u_sky, n.y * 0.5 + 0.5);
    float fresnel = pow(1.0 - clamp(dot(n, v), 0.0, 1.0), 4.0);
    vec3 colour = albedo * (key * soft * u_key * mix(1.0, ao, 0.35) + (fill * u_fill + sky) * ao + rim * u_rim * ao);
    vec3 half_way = normalize(v + u_key_direction);
    float spec = pow(max(dot(n, half_way), 0.0), power) * shadow + 0.25 * pow(max(dot(n, normalize(v + u_fill_direction)), 0.0), power);
    return colour + gloss * (0.35 + 0.65 * fresnel) * spec * u_key * ao;
}

vec4 developed(vec3 colour, float alpha) {
    vec3 c = colour * u_exposure;
    vec3 over = max(c - 0.7, 0.0);
    c = min(c, 0.7) + over / (1.0 + over * 3.3333);               // a soft shoulder towards 1 instead of clipping
    vec3 a = sqrt(max(c, 0.0)), b = sqrt(a);                      // c^(1/2.2) to within 0.003
    return vec4(clamp(0.585122381 * a + 0.783140355 * b - 0.368262736 * sqrt(b), 0.0, 1.0), alpha);
}
